-- Takes unique keys for jobs, those that nobody holds. $1 job names, $2 keys, $3 jobs, $4 scopes, $5 ends of periods. No rows:
-- unique_find tells who holds them. Waits for another transaction that takes or releases one of them; in the order of the
-- keys, so that two of them do not wait for each other. But not for somebody who dispatches from SQL, whose transaction may take
-- its time: then unique_find collides.
INSERT INTO joblog.unique_key (job_name, key, job_id, scope, expire_time)
SELECT u.job_name, u.key, u.job_id, u.scope, u.expire_time
FROM unnest($1::text[], $2::text[], $3::int8[], $4::int2[], $5::timestamptz[]) u(job_name, key, job_id, scope, expire_time)
WHERE pg_try_advisory_xact_lock_shared(19024, joblog.key_lock(u.job_name, u.key))
ORDER BY u.job_name, u.key
ON CONFLICT DO NOTHING
