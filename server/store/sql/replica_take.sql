-- After replica_lock: makes the row of number $1 if need be. Row: batch, last_id.
INSERT INTO joblog.replica AS r (number, batch, last_id, seen_time) VALUES ($1::int, 0, 0, now())
ON CONFLICT (number) DO UPDATE SET seen_time = excluded.seen_time
RETURNING r.batch, r.last_id
