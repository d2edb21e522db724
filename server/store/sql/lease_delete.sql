-- Ends leases by job and token; collides (JL001) unless all $3 of them were there. $1 jobs, $2 tokens.
WITH gone AS (
    DELETE FROM joblog.lease l USING unnest($1::int8[], $2::int8[]) u(job_id, token)
    WHERE l.job_id = u.job_id AND l.token = u.token
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM gone) = $3::int THEN 0 ELSE joblog.collide() END
