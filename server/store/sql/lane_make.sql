-- Makes lanes that are not there yet, but for those that a transaction of somebody who dispatches from SQL is making.
-- $1 queues, $2 job names. No rows. Safe to repeat; a transaction of its own, so that no batch waits for another's.
INSERT INTO joblog.lane (queue, job_name)
SELECT u.queue, u.job_name FROM unnest($1::text[], $2::text[]) u(queue, job_name)
WHERE pg_try_advisory_xact_lock_shared(19023, joblog.key_lock(u.queue, u.job_name))
ON CONFLICT DO NOTHING
