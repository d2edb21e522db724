-- Of the records after id $1 the next 2000: which have been kept for as long as joblog.retention says at $2. Rows: id; and, last,
-- null with the id to go on after (null: there are none left that could be). Locks what it names; passes over what others hold.
WITH shortest AS MATERIALIZED (
    SELECT min(r.keep) AS keep FROM joblog.retention r
), seen AS MATERIALIZED (
    SELECT t.id, t.lane_id, t.status, t.end_time
    FROM shortest s CROSS JOIN LATERAL (
        SELECT t.id, t.lane_id, t.status, t.end_time FROM joblog.job_state t
        WHERE t.id > $1::int8 AND t.id < joblog.id_floor($2::timestamptz - s.keep)
        ORDER BY t.id LIMIT 2000) t
), ripe AS MATERIALIZED (
    SELECT s.id
    FROM seen s
    JOIN joblog.status_look l ON l.status = s.status
    JOIN joblog.lane a ON a.lane_id = s.lane_id
    LEFT JOIN joblog.retention n ON n.job_name = a.job_name AND n.status = l.name
    LEFT JOIN joblog.retention d ON d.job_name = '' AND d.status = l.name
    WHERE s.status >= 3
      AND s.end_time < $2::timestamptz - CASE WHEN n.job_name IS NOT NULL THEN n.keep ELSE d.keep END
), locked AS MATERIALIZED (
    SELECT t.id FROM ripe r JOIN joblog.job_state t ON t.id = r.id WHERE t.status >= 3 FOR UPDATE OF t SKIP LOCKED
)
SELECT id, NULL::int8 FROM locked
UNION ALL
SELECT NULL::int8, (SELECT max(id) FROM seen)
