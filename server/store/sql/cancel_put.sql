-- Records cancel requests on leases; collides (JL001) unless all $8 leases were there. $1 jobs, $2 tokens, $3 revisions,
-- $4 actors, $5 reasons, $6 request ids, $7 time.
WITH changed AS (
    UPDATE joblog.lease l
    SET cancel_time = $7::timestamptz, cancel_actor = u.actor, cancel_reason = u.reason, cancel_request_id = u.request_id,
        revision = greatest(l.revision, u.revision)
    FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::text[])
         u(job_id, token, revision, actor, reason, request_id)
    WHERE l.job_id = u.job_id AND l.token = u.token
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM changed) = $8::int THEN 0 ELSE joblog.collide() END
