-- Forgets sessions that hold no leases. $1 ids. Safe to repeat.
DELETE FROM joblog.session s WHERE s.session_id = ANY ($1::int8[])
