-- Counters of replica $1 for the minute $2.
SELECT lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum, wait_us_sum, run_hist, wait_hist
FROM joblog.minute WHERE minute = $2::timestamptz AND replica = $1::int
