-- Queues, with what they hold. $1 only these (null: all). Rows, several a queue, by its name: queue, job_name (null: of the pause),
-- pending, running, waiting, smallest id that waits (or null), time, actor and reason of the pause (or null). Counts all that waits.
SELECT a.queue, a.job_name, x.pending, x.running, x.waiting, x.oldest, NULL::timestamptz, NULL::text, NULL::text
FROM (
    SELECT t.lane_id, (sum(t.n) FILTER (WHERE t.status = 1))::int8 AS pending,
           (sum(t.n) FILTER (WHERE t.status = 2))::int8 AS running, 0::int8 AS waiting, NULL::int8 AS oldest
    FROM joblog.tally_now t GROUP BY t.lane_id
    UNION ALL
    SELECT r.lane_id, count(*), 0, 0, NULL FROM joblog.arrival r GROUP BY r.lane_id
    UNION ALL
    SELECT w.lane_id, 0, 0, count(*), min(w.id) FROM joblog.waiting w GROUP BY w.lane_id
) x
JOIN joblog.lane a ON a.lane_id = x.lane_id
WHERE $1::text[] IS NULL OR a.queue = ANY ($1::text[])
UNION ALL
SELECT p.queue, NULL, 0, 0, 0, NULL, p.time, p.actor, p.reason
FROM joblog.queue_pause p
WHERE $1::text[] IS NULL OR p.queue = ANY ($1::text[])
ORDER BY 1
