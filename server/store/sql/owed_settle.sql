-- Writes what replica $1 owes to the counters; null: what is of minutes ten minutes ago, and all of those that have not been heard
-- of for two. Present values, so safe to repeat, and for one that goes on after all. Locks the replicas' rows, then those of the
-- counters; a batch does it the other way round, so one of them may have to be run again (40P01). Rows: number.
WITH r AS MATERIALIZED (
    SELECT p.number, p.owed FROM joblog.replica p
    WHERE p.owed IS NOT NULL
      AND (p.number = $1::int OR $1::int IS NULL AND (p.seen_time < now() - interval '2 minutes'
                                                       OR to_timestamp((p.owed ->> 'minute')::float8) < now() - interval '10 minutes'))
    ORDER BY p.number FOR UPDATE
), o AS MATERIALIZED (
    SELECT r.number, to_timestamp((r.owed ->> 'minute')::float8) AS minute, l.lane, l.n, l.c, l.r, l.w
    FROM r CROSS JOIN LATERAL json_to_recordset(r.owed -> 'lanes') AS l(lane int, n int8[], c int8[], r int[], w int[])
), tally AS (
    INSERT INTO joblog.tally (replica, lane_id, status, n)
    SELECT o.number, o.lane, s.status, s.n FROM o CROSS JOIN LATERAL unnest(o.n) WITH ORDINALITY AS s(n, status)
    ON CONFLICT (replica, lane_id, status) DO UPDATE SET n = excluded.n
), minute AS (
    INSERT INTO joblog.minute (minute, replica, lane_id, dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum,
                               wait_us_sum, run_hist, wait_hist)
    SELECT o.minute, o.number, o.lane, o.c[1], o.c[2], o.c[3], o.c[4], o.c[5], o.c[6], o.c[7], o.c[8], o.r, o.w
    FROM o WHERE o.c IS NOT NULL
    ON CONFLICT (minute, lane_id, replica) DO UPDATE
    SET dispatched = excluded.dispatched, completed = excluded.completed, failed = excluded.failed,
        cancelled = excluded.cancelled, retried = excluded.retried, n_runs = excluded.n_runs,
        run_us_sum = excluded.run_us_sum, wait_us_sum = excluded.wait_us_sum,
        run_hist = excluded.run_hist, wait_hist = excluded.wait_hist
)
UPDATE joblog.replica x SET owed = NULL FROM r WHERE x.number = r.number RETURNING x.number
