-- Forgets sessions that ended before $1 and hold no leases. $1 must lie so far back that no process believes in them any more: one
-- that does gives leases without looking at the table. Passes over what another replica is deleting; safe to repeat.
WITH old AS MATERIALIZED (
    SELECT s.session_id FROM joblog.session s
    WHERE s.expire_time < $1::timestamptz
      AND s.session_id NOT IN (SELECT l.session_id FROM joblog.lease l WHERE l.session_id IS NOT NULL)
    FOR UPDATE SKIP LOCKED
)
DELETE FROM joblog.session s USING old o WHERE s.session_id = o.session_id
