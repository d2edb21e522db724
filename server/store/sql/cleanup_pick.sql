-- Of the records after id $1 the next 2000: those of jobs with a status of the bits $2 that ended before $3, of the lanes $4 (null:
-- all), at most $5. Rows: id, status, null; and, last, nulls with the id to go on after (null: there are none left that could
-- be). Locks what it names; passes over what others hold.
WITH seen AS MATERIALIZED (
    SELECT t.id, t.lane_id, t.status, t.end_time FROM joblog.job_state t
    WHERE t.id > $1::int8 AND t.id < joblog.id_floor($3::timestamptz)
    ORDER BY t.id LIMIT 2000
), picked AS MATERIALIZED (
    SELECT s.id FROM seen s
    WHERE s.status >= 3 AND $2::int >> s.status & 1 = 1 AND s.end_time < $3::timestamptz
      AND ($4::int[] IS NULL OR s.lane_id = ANY ($4::int[]))
    ORDER BY s.id LIMIT $5::int
), locked AS MATERIALIZED (
    SELECT t.id, t.status FROM picked p JOIN joblog.job_state t ON t.id = p.id
    WHERE t.status >= 3 FOR UPDATE OF t SKIP LOCKED
)
SELECT id, status, NULL::int8 FROM locked
UNION ALL
SELECT NULL::int8, NULL::int2, CASE WHEN (SELECT count(*) FROM picked) >= $5::int THEN (SELECT max(id) FROM picked)
                                    ELSE (SELECT max(id) FROM seen) END
