-- As state_insert_plain, for jobs that differ in $1 id, $8 run time, $9 start, $10 revision, $11 token and $12 result only; $2 lane,
-- $3 status, $4 attempt, $5 attempts left, $6 end, $7 worker.
INSERT INTO joblog.job_state (id, lane_id, status, attempt, attempts_left, end_time, worker, run_time, start_time, revision,
                              last_token, result)
SELECT unnest($1::int8[]), $2::int, $3::int2, $4::int, $5::int, $6::timestamptz, $7::text, unnest($8::timestamptz[]),
       unnest($9::timestamptz[]), unnest($10::int8[]), unnest($11::int8[]), unnest($12::jsonb[])
