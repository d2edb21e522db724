-- Leases that have ended by time ($2), and those of the sessions $1 (ended or closed). Rows: the columns of
-- joblog.job_now. At most 5500; locks the leases, leaves out those that others hold.
WITH by_time AS MATERIALIZED (
    SELECT l.job_id FROM joblog.lease l WHERE l.expire_time < $2::timestamptz LIMIT 500 FOR UPDATE SKIP LOCKED
), by_session AS MATERIALIZED (
    SELECT l.job_id FROM joblog.lease l
    WHERE cardinality($1::int8[]) > 0 AND l.session_id = ANY ($1::int8[]) AND l.expire_time IS NULL
    LIMIT 5000 FOR UPDATE SKIP LOCKED
)
SELECT n.*
FROM (SELECT job_id FROM by_time UNION ALL SELECT job_id FROM by_session) lost
JOIN joblog.job_now n ON n.id = lost.job_id
