-- Leases waiting jobs of a lane, highest priority first, then oldest first. $1 lane, $2 how many at most, $3 now, $4 a token and
-- $5 a session for each of them; only those after ($6 negated priority, $7 id), which spares a walk over what earlier claims took
-- away and no vacuum has cleared yet. Rows, in any order: as the columns of joblog.job_now before the lease (queue and job name left
-- out), but in the place of the token which one of $4 it is, from 1. Locks only what it takes, and waits for nobody.
--
-- By an array, the rows are deleted in one scan; joined by their places each is a scan of its own, which asks the kernel for the
-- size of the table. An order of the result would be a sort of whole jobs.
WITH picked AS MATERIALIZED (
    SELECT w.ctid AS place, w.id, w.has_state FROM joblog.waiting w WHERE w.lane_id = $1::int
        AND (w.neg_priority, w.id) > ($6::int2, $7::int8)
    ORDER BY w.neg_priority, w.id LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.waiting w WHERE w.ctid = ANY (ARRAY(SELECT place FROM picked))
), taken AS MATERIALIZED (
    SELECT id, CASE WHEN has_state THEN id END AS state_id, row_number() OVER () AS n FROM picked
), leased AS (
    INSERT INTO joblog.lease (job_id, token, session_id, start_time, lane_id)
    SELECT k.id, ($4::int8[])[k.n], ($5::int8[])[k.n], $3::timestamptz, $1::int FROM taken k
)
SELECT j.id, j.lane_id, NULL::text, NULL::text, coalesce(t.status, 1::int2), j.priority, j.source_type, j.source_id, j.owner,
       j.creator, j.batch, j.traceparent, j.request_id, j.labels, coalesce(t.attempt, 0),
       coalesce(t.attempts_left, j.max_attempts), j.max_attempts, j.initial_backoff_us, j.max_backoff_us, j.multiplier,
       j.jitter, coalesce(t.run_time, j.run_time), t.start_time, NULL::timestamptz, t.worker,
       coalesce(t.revision, 1048576), NULL::float8, NULL::int8, NULL::int8, NULL::text, NULL::text, NULL::timestamptz,
       t.error_type, t.error_message, NULL::timestamptz, NULL::text, NULL::text, k.n, NULL::int8,
       NULL::timestamptz, (t.id IS NOT NULL)::int, j.payload, NULL::jsonb, t.error_stack,
       NULL::timestamptz, j.extra
FROM taken k
JOIN joblog.job j ON j.id = k.id
LEFT JOIN joblog.job_state t ON t.id = k.state_id
