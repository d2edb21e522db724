-- Gives pending jobs another payload. $1 jobs, each once, $2 payloads, $3 1 to put the payload's members over the present one's, 0
-- to put it in place of it, $4 the most bytes that it may have. Rows: place in $1 from 1, what became of it (0 the job does not
-- wait any more, 1 done, 2 the payload would be too large). Waits for a claim that is under way, and then leaves the job alone.
WITH u AS MATERIALIZED (
    SELECT x.n, x.id, j.lane_id, (-j.priority)::int2 AS neg_priority, coalesce(t.run_time, j.run_time) AS run_time,
           x.payload, x.merge = 1 AS merge
    FROM unnest($1::int8[], $2::jsonb[], $3::int4[]) WITH ORDINALITY x(id, payload, merge, n)
    JOIN joblog.job j ON j.id = x.id
    LEFT JOIN joblog.job_state t ON t.id = x.id
), w AS MATERIALIZED (
    SELECT w.id FROM joblog.waiting w JOIN u ON w.lane_id = u.lane_id AND w.neg_priority = u.neg_priority AND w.id = u.id
    FOR UPDATE OF w
), s AS MATERIALIZED (
    SELECT s.id FROM joblog.scheduled s JOIN u ON s.run_time = u.run_time AND s.id = u.id FOR UPDATE OF s
), still AS MATERIALIZED (
    SELECT id FROM w UNION ALL SELECT id FROM s
), done AS (
    UPDATE joblog.job j SET payload = CASE WHEN u.merge THEN j.payload || u.payload ELSE u.payload END
    FROM u JOIN still USING (id)
    WHERE j.id = u.id
      AND octet_length((CASE WHEN u.merge THEN j.payload || u.payload ELSE u.payload END)::text) <= $4::int
    RETURNING j.id
)
SELECT x.n, CASE WHEN d.id IS NOT NULL THEN 1 WHEN p.id IS NOT NULL THEN 2 ELSE 0 END
FROM unnest($1::int8[]) WITH ORDINALITY x(id, n)
LEFT JOIN done d ON d.id = x.id
LEFT JOIN still p ON p.id = x.id
