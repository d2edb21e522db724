-- Sessions whose worker was silent for too long at $1. Rows: session_id, does it still hold leases.
SELECT s.session_id, EXISTS (SELECT FROM joblog.lease l WHERE l.session_id = s.session_id)::int
FROM joblog.session s WHERE s.expire_time < $1::timestamptz
