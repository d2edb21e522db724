-- How leases ended that are ended again, because the first answer was lost. $1 jobs, $2 tokens. Rows: job, token, how the attempt
-- ended, what became of the job; only of leases that were the last of their jobs. Takes no locks, safe to repeat.
SELECT s.id, s.last_token, coalesce(a.outcome, CASE WHEN s.status = 3 THEN 1::int2 ELSE 0::int2 END), s.status
FROM unnest($1::int8[], $2::int8[]) u(id, token)
JOIN joblog.job_state s ON s.id = u.id AND s.last_token = u.token
LEFT JOIN joblog.attempt a ON a.job_id = s.id AND a.number = s.attempt
