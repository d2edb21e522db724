-- Ends leases by job and token; collides (JL001) unless all $3 of them were there. $1 jobs, $2 tokens.
WITH gone AS (
    DELETE FROM joblog.lease l USING (SELECT unnest($1::int8[]) AS job_id, unnest($2::int8[]) AS token) u
    WHERE l.job_id = u.job_id AND l.token = u.token
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM gone) = $3::int THEN 0 ELSE joblog.collide() END
