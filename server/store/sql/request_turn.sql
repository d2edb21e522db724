-- Request ids whose job was not made because another one holds its unique key: they now name that job, or nobody. $1 request ids,
-- $2 the jobs that hold the keys, null for none, $3 the jobs that they named in this transaction. No rows.
WITH u AS MATERIALIZED (
    SELECT unnest($1::text[]) AS request_id, unnest($2::int8[]) AS job_id, unnest($3::int8[]) AS made_id
), gone AS (
    DELETE FROM joblog.request r USING u
    WHERE u.job_id IS NULL AND r.request_id = u.request_id AND r.job_id = u.made_id
)
UPDATE joblog.request r SET job_id = u.job_id FROM u
WHERE u.job_id IS NOT NULL AND r.request_id = u.request_id AND r.job_id = u.made_id
