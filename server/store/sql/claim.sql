-- Leases waiting jobs of a lane, highest priority first, then oldest first. $1 lane, $2 how many at most, $3 now, $4 a token and
-- $5 a session for each of them. Rows: as the columns of joblog.job_now before the lease (queue and job name left out, token
-- and session filled in), in the order of $4. Locks only what it takes, and waits for nobody.
WITH picked AS MATERIALIZED (
    SELECT w.ctid AS place FROM joblog.waiting w WHERE w.lane_id = $1::int
    ORDER BY w.neg_priority, w.id LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.waiting w USING picked p WHERE w.ctid = p.place
    RETURNING w.neg_priority, w.id, CASE WHEN w.has_state THEN w.id END AS state_id
), taken AS MATERIALIZED (
    SELECT g.n, j.id, j.lane_id, coalesce(t.status, 1::int2) AS status, j.priority, j.source_type, j.source_id, j.owner,
           j.creator, j.batch, j.traceparent, j.request_id, j.labels, coalesce(t.attempt, 0) AS attempt,
           coalesce(t.attempts_left, j.max_attempts) AS attempts_left, j.max_attempts, j.initial_backoff_us,
           j.max_backoff_us, j.multiplier, j.jitter, coalesce(t.run_time, j.run_time) AS run_time, t.start_time,
           t.worker, coalesce(t.revision, 1048576) AS revision, t.error_type, t.error_message,
           (t.id IS NOT NULL)::int AS has_state, j.payload, t.error_stack
    FROM (SELECT id, state_id, row_number() OVER (ORDER BY neg_priority, id) AS n FROM gone) g
    JOIN joblog.job j ON j.id = g.id
    LEFT JOIN joblog.job_state t ON t.id = g.state_id
), leased AS (
    INSERT INTO joblog.lease (job_id, token, session_id, start_time, revision, lane_id, attempt, attempts_left)
    SELECT t.id, ($4::int8[])[t.n], ($5::int8[])[t.n], $3::timestamptz, ((t.revision >> 20) + 1) << 20, t.lane_id,
           t.attempt + 1, t.attempts_left - 1
    FROM taken t
)
SELECT t.id, t.lane_id, NULL::text, NULL::text, t.status, t.priority, t.source_type, t.source_id, t.owner, t.creator,
       t.batch, t.traceparent, t.request_id, t.labels, t.attempt, t.attempts_left, t.max_attempts, t.initial_backoff_us,
       t.max_backoff_us, t.multiplier, t.jitter, t.run_time, t.start_time, NULL::timestamptz, t.worker, t.revision,
       NULL::float8, NULL::int8, NULL::int8, NULL::text, NULL::text, NULL::timestamptz, t.error_type, t.error_message,
       NULL::timestamptz, NULL::text, NULL::text, ($4::int8[])[t.n], ($5::int8[])[t.n], NULL::timestamptz, t.has_state,
       t.payload, NULL::jsonb, t.error_stack
FROM taken t ORDER BY t.n
