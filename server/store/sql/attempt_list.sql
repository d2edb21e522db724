-- Attempts of job $1 that ended otherwise than completed, in order.
SELECT number, outcome, revision, start_time, end_time, worker, error_type, error_message, error_stack
FROM joblog.attempt WHERE job_id = $1::int8 ORDER BY number
