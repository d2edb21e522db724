-- How leases ended that are ended again, because the first answer was lost: those that ended by the same word of the worker, and were
-- the last of their jobs. $1 jobs, $2 tokens, $3 outcomes, $4 types and $5 messages of errors, $6 results. Rows: job, token, what became
-- of the job. Takes no locks, safe to repeat.
SELECT s.id, s.last_token, s.status
FROM unnest($1::int8[], $2::int8[], $3::int2[], $4::text[], $5::text[], $6::jsonb[]) u(id, token, outcome, error_type, error_message, result)
JOIN joblog.job_state s ON s.id = u.id AND s.last_token = u.token
LEFT JOIN joblog.attempt a ON a.job_id = s.id AND a.number = s.attempt
LEFT JOIN joblog.transition t ON t.job_id = a.job_id AND t.revision = a.revision
WHERE CASE u.outcome
      WHEN 1 THEN a.job_id IS NULL AND s.status = 3 AND s.result IS NOT DISTINCT FROM u.result
      WHEN 2 THEN a.outcome = 2 AND t.actor IS DISTINCT FROM 'joblogd' -- a time-out is not the worker's word
                  AND a.error_type IS NOT DISTINCT FROM u.error_type AND a.error_message IS NOT DISTINCT FROM u.error_message
      ELSE a.outcome = u.outcome END
