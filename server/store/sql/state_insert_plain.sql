-- As state_insert, for ends without progress or error, as most are.
INSERT INTO joblog.job_state (id, lane_id, status, attempt, attempts_left, end_time, worker, run_time, start_time, revision,
                              last_token, result)
SELECT unnest($1::int8[]), unnest($2::int[]), unnest($3::int2[]), unnest($4::int[]), unnest($5::int[]),
       unnest($6::timestamptz[]), unnest($7::text[]), unnest($8::timestamptz[]), unnest($9::timestamptz[]),
       unnest($10::int8[]), unnest($11::int8[]), unnest($12::jsonb[])
