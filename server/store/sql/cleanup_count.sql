-- As cleanup_pick, but locks nothing: what it would take. Looks at 20000 records.
WITH seen AS MATERIALIZED (
    SELECT t.id, t.lane_id, t.status, t.end_time FROM joblog.job_state t
    WHERE t.id > $1::int8 AND t.id < joblog.id_floor($3::timestamptz)
    ORDER BY t.id LIMIT 20000
), picked AS MATERIALIZED (
    SELECT s.id, s.status FROM seen s
    WHERE s.status >= 3 AND $2::int >> s.status & 1 = 1 AND s.end_time < $3::timestamptz
      AND ($4::int[] IS NULL OR s.lane_id = ANY ($4::int[]))
    ORDER BY s.id LIMIT $5::int
)
SELECT NULL::int8, status, count(*) FROM picked GROUP BY status
UNION ALL
SELECT NULL::int8, NULL::int2, CASE WHEN (SELECT count(*) FROM picked) >= $5::int THEN (SELECT max(id) FROM picked)
                                    ELSE (SELECT max(id) FROM seen) END
