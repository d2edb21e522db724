-- What job $1 has logged and what is kept of it. Rows, none without a log: lines in all, the last one that is kept (0: none).
SELECT s.lines, coalesce((SELECT max(l.sequence) FROM joblog.job_log l WHERE l.job_id = $1::int8), 0)
FROM joblog.job_log_size s WHERE s.job_id = $1::int8
