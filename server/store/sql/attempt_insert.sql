-- Attempts that ended otherwise than completed. Arrays; $6 end, the same for all.
INSERT INTO joblog.attempt (job_id, number, outcome, revision, start_time, end_time, worker, error_type, error_message,
                            error_stack)
SELECT u.job_id, u.number, u.outcome, u.revision, u.start_time, $6::timestamptz, u.worker, u.error_type, u.error_message,
       u.error_stack
FROM unnest($1::int8[], $2::int[], $3::int2[], $4::int8[], $5::timestamptz[], $7::text[], $8::text[], $9::text[],
            $10::text[])
     u(job_id, number, outcome, revision, start_time, worker, error_type, error_message, error_stack)
