-- Jobs that may run now. $1 lanes, $2 negated priorities, $3 ids.
INSERT INTO joblog.waiting (lane_id, neg_priority, id)
SELECT * FROM unnest($1::int[], $2::int2[], $3::int8[])
