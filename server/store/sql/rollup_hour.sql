-- Sums up the next hour of joblog.minute, if all of it lies before $1. Row: 1 when there was one. Locks the mark, so that one
-- replica at a time does it; safe to repeat.
WITH mark AS (
    UPDATE joblog.rollup_mark SET until = until + interval '1 hour'
    WHERE span = 1 AND until + interval '1 hour' <= $1::timestamptz
    RETURNING until - interval '1 hour' AS start, until AS stop
), put AS (
    INSERT INTO joblog.rollup (span, time, lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum,
                               wait_us_sum, run_hist, wait_hist)
    SELECT 1, k.start, m.lane_id, sum(m.dispatched), sum(m.completed), sum(m.failed), sum(m.cancelled), sum(m.retried),
           sum(m.n_runs), sum(m.run_us_sum), sum(m.wait_us_sum), joblog.histogram_sum(m.run_hist),
           joblog.histogram_sum(m.wait_hist)
    FROM mark k JOIN joblog.minute m ON m.minute >= k.start AND m.minute < k.stop
    GROUP BY k.start, m.lane_id
)
SELECT count(*)::int FROM mark
