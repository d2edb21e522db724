-- Sums up the next day (of UTC) of joblog.rollup, once all its hours are there. Row: 1 when there was one. Locks as rollup_hour;
-- safe to repeat.
WITH mark AS (
    UPDATE joblog.rollup_mark d SET until = d.until + interval '24 hours'
    FROM joblog.rollup_mark h
    WHERE d.span = 2 AND h.span = 1 AND d.until + interval '24 hours' <= h.until
    RETURNING d.until - interval '24 hours' AS start, d.until AS stop
), put AS (
    INSERT INTO joblog.rollup (span, time, lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum,
                               wait_us_sum, run_hist, wait_hist)
    SELECT 2, k.start, r.lane_id, sum(r.dispatched), sum(r.completed), sum(r.failed), sum(r.cancelled), sum(r.retried),
           sum(r.n_runs), sum(r.run_us_sum), sum(r.wait_us_sum), joblog.histogram_sum(r.run_hist),
           joblog.histogram_sum(r.wait_hist)
    FROM mark k JOIN joblog.rollup r ON r.span = 1 AND r.time >= k.start AND r.time < k.stop
    GROUP BY k.start, r.lane_id
)
SELECT count(*)::int FROM mark
