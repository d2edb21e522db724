-- The foremost jobs that wait in lanes, in the order of claims over all of them. $1 lanes; $2 negated priority and $3 id: only those
-- after that place, one for each lane; $4 how many of each lane at most. Rows: place of the lane in $1 from 1, negated priority, id.
-- Walks only the index; takes no locks: what is gone meanwhile the claims will miss. Safe to repeat.
SELECT l.at::int, w.neg_priority, w.id
FROM unnest($1::int[], $2::int2[], $3::int8[]) WITH ORDINALITY l(lane_id, neg_priority, id, at)
CROSS JOIN LATERAL (
    SELECT w.neg_priority, w.id FROM joblog.waiting w
    WHERE w.lane_id = l.lane_id AND (w.neg_priority, w.id) > (l.neg_priority, l.id)
    ORDER BY w.neg_priority, w.id LIMIT $4::int
) w
ORDER BY w.neg_priority, w.id
