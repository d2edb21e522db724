-- As job_insert, for the many jobs with nothing but what every job has.
INSERT INTO joblog.job (id, lane_id, run_time, max_attempts, priority, owner, creator, payload)
SELECT unnest($1::int8[]), unnest($2::int[]), unnest($3::timestamptz[]), unnest($4::int[]), unnest($5::int2[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::jsonb[])
