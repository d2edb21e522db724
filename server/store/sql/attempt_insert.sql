-- Attempts that ended otherwise than completed. Arrays.
INSERT INTO joblog.attempt (end_time, job_id, number, outcome, revision, start_time, worker, error_type, error_message,
                            error_stack)
SELECT unnest($6::timestamptz[]), unnest($1::int8[]), unnest($2::int[]), unnest($3::int2[]), unnest($4::int8[]),
       unnest($5::timestamptz[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[])
