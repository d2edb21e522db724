-- The first row of jobs in job_state: the end of a first attempt, a cancel before it. Arrays. A row that is there already
-- (23505) means that somebody else was faster.
INSERT INTO joblog.job_state (id, lane_id, status, attempt, attempts_left, run_time, start_time, end_time, revision,
                              last_token, worker, percent, done, total, unit, step, eta, error_type, error_message,
                              error_stack, result)
SELECT unnest($1::int8[]), unnest($2::int[]), unnest($3::int2[]), unnest($4::int[]), unnest($5::int[]),
       unnest($6::timestamptz[]), unnest($7::timestamptz[]), unnest($8::timestamptz[]), unnest($9::int8[]),
       unnest($10::int8[]), unnest($11::text[]), unnest($12::float8[]), unnest($13::int8[]), unnest($14::int8[]),
       unnest($15::text[]), unnest($16::text[]), unnest($17::timestamptz[]), unnest($18::text[]), unnest($19::text[]),
       unnest($20::text[]), unnest($21::jsonb[])
