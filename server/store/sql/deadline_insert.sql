-- When to look at jobs. Arrays: $1 times, $2 jobs, $3 tokens (0: it must have started).
INSERT INTO joblog.deadline (time, job_id, token)
SELECT unnest($1::timestamptz[]), unnest($2::int8[]), unnest($3::int8[])
