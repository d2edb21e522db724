-- A history of :jobs jobs over the last 300 days, as if they had been dispatched and had ended then: job, state, attempts,
-- transitions, counters. 20 pairs of queue and name; 1000 owners; 90 in 100 completed, 7 failed, 3 cancelled.
-- psql -v jobs=N -f history.sql, on a database that a server has migrated and that is empty; no server must run.
\set ON_ERROR_STOP on
SET synchronous_commit = off;
SET timezone = 'UTC';
SET maintenance_work_mem = '256MB';
SELECT joblog.ensure_partitions((now() - interval '300 days')::date, now()::date);
SELECT joblog.ensure_log_partitions();
INSERT INTO joblog.lane (queue, job_name)
SELECT 'queue-' || q, 'name-' || n FROM generate_series(0, 1) q, generate_series(0, 9) n ON CONFLICT DO NOTHING;
CREATE TEMP TABLE lanes AS
SELECT row_number() OVER (ORDER BY lane_id) - 1 AS n, lane_id FROM joblog.lane WHERE queue LIKE 'queue-%';
SELECT array_agg(lane_id ORDER BY n) AS lanes FROM lanes \gset

-- Evenly spread; :step milliseconds apart.
SELECT greatest(1, floor(300.0 * 86400 * 1000 / :jobs))::bigint AS step,
       (extract(epoch FROM now()) * 1000)::bigint - 1704067200000 - 300::bigint * 86400 * 1000 - 3600000 AS start \gset

CREATE PROCEDURE pg_temp.make(jobs bigint, step bigint, start bigint, lanes int[]) LANGUAGE plpgsql AS $$
DECLARE
    part bigint := greatest(jobs / 20, 1);
    i    bigint := 0;
BEGIN
    WHILE i < jobs LOOP
        INSERT INTO joblog.job (id, run_time, lane_id, max_attempts, priority, source_type, source_id, owner, creator, batch,
                                labels, payload)
        SELECT id, joblog.id_time(id), lanes[1 + g % 20], 1, 0, 'order', (g % 100000)::text, 'owner-' || g % 1000,
               'token:bench', 'batch-' || g / 1000, CASE WHEN g % 10 = 0
               THEN jsonb_build_object('tenant', 'tenant-' || g % 500) END,
               jsonb_build_object('order', g, 'to', 'user' || g % 100000 || '@example.org')
        FROM (SELECT g, ((start + g * step) << 22) | (254::bigint << 14) | (g % 16384) AS id
              FROM generate_series(i, least(i + part, jobs) - 1) g) x;
        INSERT INTO joblog.job_state (id, revision, last_token, run_time, start_time, end_time, lane_id, attempt, attempts_left,
                                      status, worker, error_type, error_message, error_stack, result)
        SELECT id, 3 << 20, id, at, at + interval '20 ms', at + interval '220 ms', lanes[1 + g % 20], 1, 0, status,
               'worker-' || g % 8, CASE WHEN status = 4 THEN 'Timeout' END, CASE WHEN status = 4 THEN 'no answer in 30 s' END,
               CASE WHEN status = 4 THEN 'at send (mail.c:120)' END, CASE WHEN status = 3 THEN '{"ok": true}'::jsonb END
        FROM (SELECT g, id, joblog.id_time(id) AS at, CASE WHEN abs(hashint8(g)::bigint) % 100 < 90 THEN 3 WHEN abs(hashint8(g)::bigint) % 100 < 97 THEN 4 ELSE 5 END AS status
              FROM (SELECT g, ((start + g * step) << 22) | (254::bigint << 14) | (g % 16384) AS id
                    FROM generate_series(i, least(i + part, jobs) - 1) g) x) y;
        COMMIT;
        i := i + part;
    END LOOP;
END
$$;
CALL pg_temp.make(:jobs, :step, :start, :'lanes');

INSERT INTO joblog.attempt (job_id, number, outcome, revision, start_time, end_time, worker, error_type, error_message, error_stack)
SELECT id, 1, 2, revision, start_time, end_time, worker, error_type, error_message, error_stack
FROM joblog.job_state WHERE status = 4;
INSERT INTO joblog.transition (job_id, revision, time, from_status, to_status, actor, reason)
SELECT id, revision, end_time, 1, 5, 'token:bench', 'no more' FROM joblog.job_state WHERE status = 5;

INSERT INTO joblog.tally (replica, lane_id, status, n)
SELECT 254, lane_id, status, count(*) FROM joblog.job_state GROUP BY 2, 3;

CREATE TEMP TABLE minutes AS
SELECT date_trunc('minute', end_time) AS minute, lane_id, count(*) AS n, count(*) FILTER (WHERE status = 3) AS completed,
       count(*) FILTER (WHERE status = 4) AS failed, count(*) FILTER (WHERE status = 5) AS cancelled
FROM joblog.job_state GROUP BY 1, 2;
-- Minutes of two weeks, as a server keeps them; hours and days of all.
INSERT INTO joblog.minute
SELECT minute, lane_id, 254, n, completed, failed, cancelled, 0, completed + failed, 200000 * (completed + failed),
       20000 * (completed + failed), ('[27:27]={' || completed + failed || '}')::int[],
       ('[20:20]={' || completed + failed || '}')::int[]
FROM minutes WHERE minute >= now() - interval '14 days';
INSERT INTO joblog.rollup
SELECT 1, date_trunc('hour', minute), lane_id, sum(n), sum(completed), sum(failed), sum(cancelled), 0, sum(completed + failed),
       200000 * sum(completed + failed), 20000 * sum(completed + failed),
       ('[27:27]={' || sum(completed + failed) || '}')::int[], ('[20:20]={' || sum(completed + failed) || '}')::int[]
FROM minutes WHERE minute < date_trunc('hour', now()) GROUP BY 2, 3;
INSERT INTO joblog.rollup
SELECT 2, date_trunc('day', time), lane_id, sum(dispatched), sum(completed), sum(failed), sum(cancelled), 0, sum(n_runs),
       sum(run_us_sum), sum(wait_us_sum), joblog.histogram_sum(run_hist), joblog.histogram_sum(wait_hist)
FROM joblog.rollup WHERE span = 1 AND time < date_trunc('day', now()) GROUP BY 2, 3;
UPDATE joblog.rollup_mark SET until = date_trunc(CASE span WHEN 1 THEN 'hour' ELSE 'day' END, now());
VACUUM ANALYZE joblog.job, joblog.job_state, joblog.attempt, joblog.transition, joblog.minute, joblog.rollup, joblog.tally;
CHECKPOINT;
