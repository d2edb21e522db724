-- As waiting_insert, for jobs of one lane, priority and kind. $1 lane, $2 negated priority, $3 ids, $4 whether they have a
-- row in job_state (0 or 1).
INSERT INTO joblog.waiting (lane_id, neg_priority, id, has_state)
SELECT $1::int, $2::int2, unnest($3::int8[]), $4::int::boolean
