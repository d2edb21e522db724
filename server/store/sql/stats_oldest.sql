-- Since when the jobs that wait could run. $1 lanes. Rows: lane_id, the earliest such time among the jobs of each priority that
-- were dispatched first. One probe of the index for each priority that a lane has: nothing is counted.
WITH RECURSIVE p(lane_id, neg_priority, id) AS (
    SELECT u.lane_id, f.neg_priority, f.id
    FROM unnest($1::int[]) u(lane_id)
    CROSS JOIN LATERAL (SELECT w.neg_priority, w.id FROM joblog.waiting w WHERE w.lane_id = u.lane_id
                        ORDER BY w.neg_priority, w.id LIMIT 1) f
    UNION ALL
    SELECT p.lane_id, f.neg_priority, f.id
    FROM p
    CROSS JOIN LATERAL (SELECT w.neg_priority, w.id FROM joblog.waiting w
                        WHERE w.lane_id = p.lane_id AND w.neg_priority > p.neg_priority
                        ORDER BY w.neg_priority, w.id LIMIT 1) f
)
SELECT p.lane_id, min(coalesce(t.run_time, j.run_time))
FROM p JOIN joblog.job j ON j.id = p.id LEFT JOIN joblog.job_state t ON t.id = p.id
GROUP BY p.lane_id
