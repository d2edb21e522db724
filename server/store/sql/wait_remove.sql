-- Takes pending jobs out of waiting and scheduled. $1 ids. Rows: ids of those that were there.
-- Waits for a claim that is under way, and then does not find the job. Nor does it find one whose payload is being changed by
-- somebody who dispatches from SQL under its unique key: that transaction may take its time.
WITH u AS MATERIALIZED (
    SELECT j.id, j.lane_id, (-j.priority)::int2 AS neg_priority, coalesce(t.run_time, j.run_time) AS run_time
    FROM unnest($1::int8[]) x(id)
    JOIN joblog.job j ON j.id = x.id
    LEFT JOIN joblog.job_state t ON t.id = x.id
    WHERE CASE WHEN j.extra ? 'unique_key' THEN joblog.key_is_free(j.lane_id, j.extra->>'unique_key') ELSE true END
), w AS (
    DELETE FROM joblog.waiting w USING u
    WHERE w.lane_id = u.lane_id AND w.neg_priority = u.neg_priority AND w.id = u.id RETURNING w.id
), s AS (
    DELETE FROM joblog.scheduled s USING u WHERE s.run_time = u.run_time AND s.id = u.id RETURNING s.id
)
SELECT id FROM w UNION ALL SELECT id FROM s
