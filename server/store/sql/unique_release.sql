-- Releases keys of jobs. $1 job names, $2 keys, $3 jobs. No rows; a key that another job holds by now stays.
DELETE FROM joblog.unique_key k
USING (SELECT unnest($1::text[]) AS job_name, unnest($2::text[]) AS key, unnest($3::int8[]) AS job_id) u
WHERE k.job_name = u.job_name AND k.key = u.key AND k.job_id = u.job_id
