-- Counters of minutes. $1 job names, $2 queues, $3 lanes (null: all), $4 from, $5 before. Rows sorted by job name and queue;
-- the caller adds them up.
SELECT a.queue, a.job_name, m.dispatched, m.completed, m.failed, m.cancelled, m.retried, m.n_runs, m.run_us_sum,
       m.wait_us_sum, m.run_hist, m.wait_hist
FROM joblog.minute m JOIN joblog.lane a USING (lane_id)
WHERE m.minute >= $4::timestamptz AND m.minute < $5::timestamptz
  AND ($1::text[] IS NULL OR a.job_name = ANY ($1::text[])) AND ($2::text[] IS NULL OR a.queue = ANY ($2::text[]))
  AND ($3::int[] IS NULL OR a.lane_id = ANY ($3::int[]))
ORDER BY a.job_name COLLATE "C", a.queue COLLATE "C"
