-- As job_insert_plain, for jobs that differ in id and payload only.
-- $1 ids, $2 lane, $3 run time, $4 attempts, $5 priority, $6 owner, $7 creator, $8 payloads.
INSERT INTO joblog.job (id, lane_id, run_time, max_attempts, priority, owner, creator, payload)
SELECT unnest($1::int8[]), $2::int, $3::timestamptz, $4::int, $5::int2, $6::text, $7::text, unnest($8::jsonb[])
