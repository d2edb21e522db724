-- Counts what jobs log, and locks each count and the lease until the commit; collides (JL001) unless all $5 leases were there.
-- $1 jobs, each once, $2 tokens, $3 lines, $4 bytes.
WITH held AS (
    SELECT u.job_id, u.lines, u.bytes
    FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[]) u(job_id, token, lines, bytes)
    JOIN joblog.lease l ON l.job_id = u.job_id AND l.token = u.token
    FOR KEY SHARE OF l
), put AS (
    INSERT INTO joblog.job_log_size AS s (job_id, lines, bytes)
    SELECT h.job_id, h.lines, h.bytes FROM held h
    ON CONFLICT (job_id) DO UPDATE SET lines = s.lines + excluded.lines, bytes = s.bytes + excluded.bytes
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM put) = $5::int THEN 0 ELSE joblog.collide() END
