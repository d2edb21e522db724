-- Ends leases by job and token; collides (JL001) unless all $4 of them were there, as far as cancels go as they are known here: one
-- that another replica has just recorded must not get lost. $1 jobs, $2 tokens, $3 times of cancels or null.
WITH gone AS (
    DELETE FROM joblog.lease l
    USING (SELECT unnest($1::int8[]) AS job_id, unnest($2::int8[]) AS token, unnest($3::timestamptz[]) AS cancel_time) u
    WHERE l.job_id = u.job_id AND l.token = u.token AND l.cancel_time IS NOT DISTINCT FROM u.cancel_time
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM gone) = $4::int THEN 0 ELSE joblog.collide() END
