-- Writes the present counters of one lane in one minute. $1 replica, $2 minute, $3 lane, then the values. Safe to repeat.
-- Row: where it lies.
INSERT INTO joblog.minute (replica, minute, lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum,
                           wait_us_sum, run_hist, wait_hist)
VALUES ($1::int, $2::timestamptz, $3::int, $4::int8, $5::int8, $6::int8, $7::int8, $8::int8, $9::int8, $10::int8, $11::int8,
        $12::int[], $13::int[])
ON CONFLICT (minute, lane_id, replica) DO UPDATE
SET dispatched = excluded.dispatched, completed = excluded.completed, failed = excluded.failed,
    cancelled = excluded.cancelled, retried = excluded.retried, n_runs = excluded.n_runs,
    run_us_sum = excluded.run_us_sum, wait_us_sum = excluded.wait_us_sum,
    run_hist = excluded.run_hist, wait_hist = excluded.wait_hist
RETURNING ctid
