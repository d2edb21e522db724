-- Counters of a range, from days and hours where those have been summed up and the buckets allow it, from minutes elsewhere. $1
-- from, $2 before, $3 the longest span that may be used (0 minutes, 1 hours, 2 days), $4 lanes (null: all). Rows, in no order:
-- time, lane_id, then the counters; the caller adds them up.
WITH cut AS MATERIALIZED (
    SELECT $1::timestamptz AS a, $2::timestamptz AS b,
           date_trunc('hour', $1::timestamptz + interval '1 hour - 1 us', 'UTC') AS h1,
           least(date_trunc('hour', $2::timestamptz, 'UTC'), (SELECT until FROM joblog.rollup_mark WHERE span = 1)) AS h2,
           date_trunc('day', $1::timestamptz + interval '24 hours - 1 us', 'UTC') AS d1,
           least(date_trunc('day', $2::timestamptz, 'UTC'), (SELECT until FROM joblog.rollup_mark WHERE span = 2)) AS d2
), hours AS MATERIALIZED (
    -- Without whole hours the minutes go from end to end.
    SELECT a, b, CASE WHEN $3::int >= 1 AND h1 < h2 THEN h1 ELSE b END AS h1,
           CASE WHEN $3::int >= 1 AND h1 < h2 THEN h2 ELSE b END AS h2, d1, d2
    FROM cut
), days AS MATERIALIZED (
    SELECT a, b, h1, h2, CASE WHEN $3::int >= 2 AND d1 < d2 AND h1 < h2 THEN d1 ELSE h2 END AS d1,
           CASE WHEN $3::int >= 2 AND d1 < d2 AND h1 < h2 THEN d2 ELSE h2 END AS d2
    FROM hours
)
SELECT m.minute, m.lane_id, m.dispatched, m.completed, m.failed, m.cancelled, m.retried, m.n_runs, m.run_us_sum,
       m.wait_us_sum, m.run_hist, m.wait_hist
FROM days c CROSS JOIN LATERAL (VALUES (c.a, c.h1), (c.h2, c.b)) p(a, b)
JOIN joblog.minute m ON m.minute >= p.a AND m.minute < p.b
WHERE $4::int[] IS NULL OR m.lane_id = ANY ($4::int[])
UNION ALL
SELECT r.time, r.lane_id, r.dispatched, r.completed, r.failed, r.cancelled, r.retried, r.n_runs, r.run_us_sum,
       r.wait_us_sum, r.run_hist, r.wait_hist
FROM days c CROSS JOIN LATERAL (VALUES (1::int2, c.h1, c.d1), (2::int2, c.d1, c.d2), (1::int2, c.d2, c.h2)) p(span, a, b)
JOIN joblog.rollup r ON r.span = p.span AND r.time >= p.a AND r.time < p.b
WHERE $4::int[] IS NULL OR r.lane_id = ANY ($4::int[])
