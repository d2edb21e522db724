-- Forgets sessions that ended before $1 and hold no leases. $1 must lie so far back that no process believes in them any more: one
-- that does gives leases without looking at the table. Forgets pauses of workers that have been
-- away for long. Passes over what another replica is deleting; safe to repeat.
WITH old AS MATERIALIZED (
    SELECT s.session_id FROM joblog.session s
    WHERE s.expire_time < $1::timestamptz
      AND s.session_id NOT IN (SELECT l.session_id FROM joblog.lease l WHERE l.session_id IS NOT NULL)
    FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM joblog.worker_pause p
    WHERE p.pause_time < $1::timestamptz - interval '30 days'
      AND NOT EXISTS (SELECT FROM joblog.session s
                      WHERE s.worker = p.worker AND coalesce(s.host, '') = p.host AND s.pid = p.pid)
)
DELETE FROM joblog.session s USING old o WHERE s.session_id = o.session_id
