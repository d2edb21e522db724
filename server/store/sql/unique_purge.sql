-- Deletes keys whose period is over at $1, at most 1000. Row: how many.
WITH old AS MATERIALIZED (
    SELECT k.job_name, k.key FROM joblog.unique_key k WHERE k.expire_time <= $1::timestamptz
    ORDER BY k.expire_time LIMIT 1000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.unique_key k USING old o WHERE k.job_name = o.job_name AND k.key = o.key RETURNING 1
)
SELECT count(*) FROM gone
