-- Keeps lines of logs, as far as there is room, after log_count has counted them in the same transaction.
-- $1 jobs, $2 how many lines of the job follow in this statement, $3 how many bytes follow, $4 attempts, $5 times, $6 levels,
-- $7 texts; $8 most bytes of a job's log.
INSERT INTO joblog.job_log (job_id, sequence, time, attempt, level, text)
SELECT u.job_id, s.lines - u.lines, u.time, u.attempt, u.level, u.text
FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::int4[], $5::timestamptz[], $6::int2[], $7::text[])
     u(job_id, lines, bytes, attempt, time, level, text)
JOIN joblog.job_log_size s ON s.job_id = u.job_id
WHERE s.bytes - u.bytes <= $8::int8
