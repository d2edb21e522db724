-- Gives pending jobs another payload. $1 jobs, each once, $2 payloads, $3 1 to put the payload's members over the present one's, 0
-- to put it in place of it, $4 the most bytes that it may have. Rows: place in $1 from 1, what became of it (0 the job does not
-- wait any more, be it that this very batch has taken it, 1 done, 2 the payload would be too large). Waits for another replica that is
-- claiming the job or moving it from one place to the next, and then collides (JL001): only the next statement sees where it is now.
-- Collides with somebody who dispatches from SQL under such a key without waiting.
WITH u AS MATERIALIZED (
    SELECT x.n, x.id, j.lane_id, (-j.priority)::int2 AS neg_priority, coalesce(t.run_time, j.run_time) AS run_time,
           x.payload, x.merge = 1 AS merge,
           coalesce((SELECT w.id FROM joblog.waiting w
                     WHERE w.lane_id = j.lane_id AND w.neg_priority = (-j.priority)::int2 AND w.id = x.id),
                    (SELECT s.id FROM joblog.scheduled s WHERE s.run_time = coalesce(t.run_time, j.run_time) AND s.id = x.id),
                    (SELECT r.id FROM joblog.arrival r WHERE r.id = x.id)) AS waits,
           CASE WHEN pg_try_advisory_xact_lock_shared(19024, joblog.key_lock(a.job_name, j.extra->>'unique_key')) THEN 0
                ELSE joblog.collide() END AS free
    FROM unnest($1::int8[], $2::jsonb[], $3::int4[]) WITH ORDINALITY x(id, payload, merge, n)
    JOIN joblog.job j ON j.id = x.id
    JOIN joblog.lane a ON a.lane_id = j.lane_id
    LEFT JOIN joblog.job_state t ON t.id = x.id
), w AS MATERIALIZED (
    SELECT w.id FROM joblog.waiting w JOIN u ON w.lane_id = u.lane_id AND w.neg_priority = u.neg_priority AND w.id = u.id
    FOR UPDATE OF w
), s AS MATERIALIZED (
    SELECT s.id FROM joblog.scheduled s JOIN u ON s.run_time = u.run_time AND s.id = u.id FOR UPDATE OF s
), r AS MATERIALIZED (
    SELECT r.id FROM joblog.arrival r JOIN u ON r.id = u.id FOR UPDATE OF r
), still AS MATERIALIZED (
    SELECT id FROM w UNION ALL SELECT id FROM s UNION ALL SELECT id FROM r
), done AS (
    UPDATE joblog.job j SET payload = CASE WHEN u.merge THEN j.payload || u.payload ELSE u.payload END
    FROM u JOIN still USING (id)
    WHERE j.id = u.id
      AND octet_length((CASE WHEN u.merge THEN j.payload || u.payload ELSE u.payload END)::text) <= $4::int
    RETURNING j.id
)
SELECT x.n, CASE WHEN d.id IS NOT NULL THEN 1 WHEN p.id IS NOT NULL THEN 2
                 WHEN u.waits IS NOT NULL THEN joblog.collide() ELSE 0 END
FROM unnest($1::int8[]) WITH ORDINALITY x(id, n)
LEFT JOIN u ON u.id = x.id
LEFT JOIN done d ON d.id = x.id
LEFT JOIN still p ON p.id = x.id
