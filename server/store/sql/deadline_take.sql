-- Takes deadlines that are due at $1, at most 500, and takes jobs out of waiting and scheduled that have never been started and had
-- to be by now. Rows: the columns of joblog.job_now before that, the token of the deadline (0: it must have started), whether the
-- job was taken out (0 or 1). Waits for nobody but another replica that is claiming a job or moving it to its next place;
-- that job is not taken then, and its row still says that it is pending. Who dispatches
-- from SQL under the unique key of such a job may be changing its payload, and then it is looked at again a second later.
WITH due AS MATERIALIZED (
    SELECT d.time, d.job_id, d.token FROM joblog.deadline d WHERE d.time <= $1::timestamptz
    ORDER BY d.time LIMIT 500 FOR UPDATE SKIP LOCKED
), busy AS MATERIALIZED (
    SELECT u.time, u.job_id, u.token FROM due u JOIN joblog.job j ON j.id = u.job_id
    WHERE CASE WHEN u.token = 0 AND j.extra ? 'unique_key'
               THEN NOT joblog.key_is_free(j.lane_id, j.extra->>'unique_key') ELSE false END
), later AS (
    UPDATE joblog.deadline d SET time = $1::timestamptz + interval '1 s'
    FROM busy b WHERE d.time = b.time AND d.job_id = b.job_id AND d.token = b.token
), gone AS (
    DELETE FROM joblog.deadline d USING due u WHERE d.time = u.time AND d.job_id = u.job_id AND d.token = u.token
      AND NOT EXISTS (SELECT FROM busy b WHERE b.job_id = u.job_id AND b.token = u.token AND b.time = u.time)
    RETURNING d.job_id, d.token
), late AS MATERIALIZED (
    SELECT g.job_id AS id, j.lane_id, (-j.priority)::int2 AS neg_priority, coalesce(t.run_time, j.run_time) AS run_time
    FROM gone g
    JOIN joblog.job j ON j.id = g.job_id
    LEFT JOIN joblog.job_state t ON t.id = g.job_id
    WHERE g.token = 0 AND coalesce(t.attempt, 0) = 0
      -- A retry or so has given it more time.
      AND coalesce(t.run_time, j.run_time) + (j.extra->>'start_timeout_us')::int8 * interval '1 us' <= $1::timestamptz
), w AS (
    DELETE FROM joblog.waiting w USING late l
    WHERE w.lane_id = l.lane_id AND w.neg_priority = l.neg_priority AND w.id = l.id RETURNING w.id
), s AS (
    DELETE FROM joblog.scheduled s USING late l WHERE s.run_time = l.run_time AND s.id = l.id RETURNING s.id
), taken AS (
    SELECT id FROM w UNION ALL SELECT id FROM s
)
SELECT n.*, g.token, (k.id IS NOT NULL)::int
FROM gone g
JOIN joblog.job_now n ON n.id = g.job_id
LEFT JOIN taken k ON k.id = g.job_id AND g.token = 0
