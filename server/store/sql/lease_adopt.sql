-- Moves leases to other sessions, whose end is theirs from now on; collides (JL001) unless all $4 of them were there. $1 jobs,
-- $2 tokens, $3 sessions.
WITH moved AS (
    UPDATE joblog.lease l SET session_id = u.session_id, expire_time = NULL
    FROM unnest($1::int8[], $2::int8[], $3::int8[]) u(job_id, token, session_id)
    WHERE l.job_id = u.job_id AND l.token = u.token
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM moved) = $4::int THEN 0 ELSE joblog.collide() END
