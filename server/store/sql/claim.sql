-- Leases waiting jobs of a lane, first come first, highest priority first. $1 lane, $2 how many at most, $3 now, $4 a
-- token and $5 a session for each of them. Rows: as the first columns of joblog.job_now as it was before (queue and job name
-- left out), in the order of $4. Locks only what it takes, and waits for nobody.
WITH picked AS MATERIALIZED (
    SELECT w.neg_priority, w.id FROM joblog.waiting w WHERE w.lane_id = $1::int
    ORDER BY w.neg_priority, w.id LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.waiting w USING picked p
    WHERE w.lane_id = $1::int AND w.neg_priority = p.neg_priority AND w.id = p.id
    RETURNING w.neg_priority, w.id
), taken AS MATERIALIZED (
    SELECT g.n, j.*
    FROM (SELECT id, row_number() OVER (ORDER BY neg_priority, id) AS n FROM gone) g
    JOIN joblog.job j ON j.id = g.id
), leased AS (
    INSERT INTO joblog.lease (job_id, token, session_id, start_time, revision, lane_id, attempt, attempts_left)
    SELECT t.id, ($4::int8[])[t.n], ($5::int8[])[t.n], $3::timestamptz, ((t.revision >> 20) + 1) << 20, t.lane_id,
           t.attempt + 1, t.attempts_left - 1
    FROM taken t
)
SELECT t.id, t.lane_id, NULL::text, NULL::text, t.status, t.priority, t.source_type, t.source_id, t.owner, t.creator,
       t.batch, t.traceparent, t.request_id, t.labels, t.attempt, t.attempts_left, t.max_attempts, t.initial_backoff_us,
       t.max_backoff_us, t.multiplier, t.jitter, t.run_time, t.start_time, t.end_time, t.worker, t.revision, t.percent,
       t.done, t.total, t.unit, t.step, t.eta, t.error_type, t.error_message, NULL::timestamptz, NULL::text, NULL::text,
       ($4::int8[])[t.n], ($5::int8[])[t.n], NULL::timestamptz, t.payload, t.result, t.error_stack
FROM taken t ORDER BY t.n
