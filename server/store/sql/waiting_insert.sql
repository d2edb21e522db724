-- Jobs that may run now. $1 lanes, $2 negated priorities, $3 ids, $4 whether they have a row in job_state (0 or 1).
INSERT INTO joblog.waiting (lane_id, neg_priority, id, has_state)
SELECT unnest($1::int[]), unnest($2::int2[]), unnest($3::int8[]), unnest($4::int[])::boolean
