-- Moves scheduled jobs that are due at $1 to waiting, at most 2000. Rows: lane_id, how many. Waits for nobody.
WITH due AS MATERIALIZED (
    SELECT s.run_time, s.id FROM joblog.scheduled s WHERE s.run_time <= $1::timestamptz
    ORDER BY s.run_time, s.id LIMIT 2000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.scheduled s USING due d WHERE s.run_time = d.run_time AND s.id = d.id
    RETURNING s.lane_id, s.neg_priority, s.id, s.has_state
), put AS (
    INSERT INTO joblog.waiting (lane_id, neg_priority, id, has_state) SELECT lane_id, neg_priority, id, has_state FROM gone
)
SELECT lane_id, count(*) FROM gone GROUP BY lane_id
