-- Sessions whose worker was silent for too long at $1 and that still hold leases. Rows: session_id. One pass over the leases, if
-- there are such sessions.
SELECT s.session_id
FROM joblog.session s
LEFT JOIN (SELECT DISTINCT l.session_id FROM joblog.lease l WHERE l.expire_time IS NULL) held USING (session_id)
WHERE s.expire_time < $1::timestamptz AND held.session_id IS NOT NULL
