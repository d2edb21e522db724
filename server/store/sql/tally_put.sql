-- Writes present values of tallies. $1 replica, $2 lanes, $3 statuses, $4 values. Safe to repeat. Rows:
-- lane_id, status, where it lies.
INSERT INTO joblog.tally (replica, lane_id, status, n)
SELECT $1::int, u.lane_id, u.status, u.n FROM unnest($2::int[], $3::int2[], $4::int8[]) u(lane_id, status, n)
ON CONFLICT (replica, lane_id, status) DO UPDATE SET n = excluded.n
RETURNING lane_id, status, ctid
