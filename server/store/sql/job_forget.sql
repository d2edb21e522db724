-- Deletes jobs that have ended and all that belongs to them. $1 ids, locked by this transaction; $2, $3 the smallest and the largest
-- of them. Files of exports expire, and are deleted as those that do. Row: how many.
WITH state AS (
    DELETE FROM joblog.job_state t USING (SELECT unnest($1::int8[]) AS id) i
    WHERE t.id = i.id AND t.id BETWEEN $2::int8 AND $3::int8 AND t.status >= 3
    RETURNING t.id, t.lane_id, t.status
), job AS (
    DELETE FROM joblog.job j USING state s WHERE j.id = s.id AND j.id BETWEEN $2::int8 AND $3::int8
    RETURNING j.id, j.lane_id, j.request_id, j.extra->>'unique_key' AS key
), attempt AS (
    DELETE FROM joblog.attempt a USING state s WHERE a.job_id = s.id
), transition AS (
    DELETE FROM joblog.transition t USING state s WHERE t.job_id = s.id
), deadline AS (
    DELETE FROM joblog.deadline d USING state s WHERE d.job_id = s.id
), lines AS (
    DELETE FROM joblog.job_log l USING state s WHERE l.job_id = s.id AND l.job_id BETWEEN $2::int8 AND $3::int8
), line_count AS (
    DELETE FROM joblog.job_log_size l USING state s WHERE l.job_id = s.id AND l.job_id BETWEEN $2::int8 AND $3::int8
), request AS (
    DELETE FROM joblog.request r USING job j WHERE r.request_id = j.request_id AND r.job_id = j.id
), unique_key AS (
    DELETE FROM joblog.unique_key k USING job j JOIN joblog.lane a ON a.lane_id = j.lane_id
    WHERE j.key IS NOT NULL AND k.job_name = a.job_name AND k.key = j.key AND k.job_id = j.id
), file AS (
    UPDATE joblog.export_file f SET expire_time = now() FROM state s WHERE f.job_id = s.id AND f.expire_time > now()
), counted AS (
    INSERT INTO joblog.tally AS t (replica, lane_id, status, n)
    SELECT 255, s.lane_id, s.status, -count(*) FROM state s GROUP BY s.lane_id, s.status ORDER BY s.lane_id, s.status
    ON CONFLICT (replica, lane_id, status) DO UPDATE SET n = t.n + excluded.n
)
SELECT count(*) FROM state
