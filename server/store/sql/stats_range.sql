-- Counters of a range. $1 of minutes (0), hours (1) or days (2), $2 from, $3 before. Rows by time: time, lane_id, then the
-- counters; a minute has a row for each replica that did something in it.
SELECT t.time, t.lane_id, t.dispatched, t.completed, t.failed, t.cancelled, t.retried, t.n_runs, t.run_us_sum, t.wait_us_sum,
       t.run_hist, t.wait_hist
FROM (SELECT m.minute AS time, m.lane_id, m.dispatched, m.completed, m.failed, m.cancelled, m.retried, m.n_runs, m.run_us_sum,
             m.wait_us_sum, m.run_hist, m.wait_hist
      FROM joblog.minute_now m
      WHERE $1::int = 0 AND m.minute >= $2::timestamptz AND m.minute < $3::timestamptz
      UNION ALL
      SELECT r.time, r.lane_id, r.dispatched, r.completed, r.failed, r.cancelled, r.retried, r.n_runs, r.run_us_sum,
             r.wait_us_sum, r.run_hist, r.wait_hist
      FROM joblog.rollup r
      WHERE r.span = $1::int AND r.time >= $2::timestamptz AND r.time < $3::timestamptz) t
ORDER BY t.time
