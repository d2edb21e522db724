-- Lanes by name. $1 queues, $2 job names. Rows: lane_id, queue, job_name.
SELECT a.lane_id, a.queue, a.job_name
FROM unnest($1::text[], $2::text[]) u(queue, job_name)
JOIN joblog.lane a ON a.queue = u.queue AND a.job_name = u.job_name
