-- Clears keys whose period is over at $3, of those that are about to be taken. $1 job names, $2 keys. No rows. Leaves alone what
-- somebody who dispatches from SQL is about to take.
DELETE FROM joblog.unique_key k USING (SELECT unnest($1::text[]) AS job_name, unnest($2::text[]) AS key) u
WHERE k.job_name = u.job_name AND k.key = u.key AND k.expire_time <= $3::timestamptz
  AND pg_try_advisory_xact_lock_shared(19024, joblog.key_lock(u.job_name, u.key))
