-- Writes the present counters of lanes in one minute. $1 lanes, $2 to $9 the values, $10 and $11 the
-- histograms as text; $12 replica, $13 minute. Safe to repeat. Rows: lane_id, where it lies.
INSERT INTO joblog.minute (minute, replica, lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum,
                           wait_us_sum, run_hist, wait_hist)
SELECT $13::timestamptz, $12::int, u.lane_id, u.dispatched, u.completed, u.failed, u.cancelled, u.retried, u.n_runs, u.run_us_sum,
       u.wait_us_sum, u.run_hist::int[], u.wait_hist::int[]
FROM unnest($1::int[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[],
            $10::text[], $11::text[])
    u(lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum, wait_us_sum, run_hist, wait_hist)
ON CONFLICT (minute, lane_id, replica) DO UPDATE
SET dispatched = excluded.dispatched, completed = excluded.completed, failed = excluded.failed,
    cancelled = excluded.cancelled, retried = excluded.retried, n_runs = excluded.n_runs,
    run_us_sum = excluded.run_us_sum, wait_us_sum = excluded.wait_us_sum,
    run_hist = excluded.run_hist, wait_hist = excluded.wait_hist
RETURNING lane_id, ctid
