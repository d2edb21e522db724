-- Sessions that are named by leases but are not there; nobody makes such, but a lease must not run for ever. $1: leases that
-- began before. Rows: session_id. Reads all leases.
SELECT DISTINCT l.session_id FROM joblog.lease l
WHERE l.expire_time IS NULL AND l.start_time < $1::timestamptz
  AND NOT EXISTS (SELECT FROM joblog.session s WHERE s.session_id = l.session_id)
