-- Unique keys of jobs, and what few jobs are dispatched with. docs/store.md, "Unique keys".

ALTER TABLE joblog.job ADD COLUMN extra jsonb;
COMMENT ON COLUMN joblog.job.extra IS 'What few jobs have: a unique key and its scope (server/core/extra.h). Null: nothing of it.';

CREATE TABLE joblog.unique_key (
    job_name    text     NOT NULL,
    key         text     NOT NULL,
    job_id      bigint   NOT NULL,
    scope       smallint NOT NULL CHECK (scope BETWEEN 1 AND 3),
    expire_time timestamptz,
    PRIMARY KEY (job_name, key),
    CHECK ((scope = 3) = (expire_time IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX unique_key_expire ON joblog.unique_key (expire_time) WHERE expire_time IS NOT NULL;
COMMENT ON TABLE joblog.unique_key IS 'Unique keys that are held: that a job name and a key stand here once is what makes them unique.';
COMMENT ON COLUMN joblog.unique_key.scope IS '1 until the job is final, 2 while it is pending, 3 until expire_time.';

-- Partitions that are made from now on have the column, since they are made like their parent. A view may only grow at its end.
CREATE OR REPLACE VIEW joblog.job_now AS
SELECT j.id,
       j.lane_id,
       a.queue,
       a.job_name,
       CASE WHEN l.job_id IS NOT NULL THEN 2::smallint ELSE coalesce(t.status, 1::smallint) END AS status,
       j.priority,
       j.source_type, j.source_id, j.owner, j.creator, j.batch, j.traceparent, j.request_id, j.labels,
       coalesce(t.attempt, 0) + (l.job_id IS NOT NULL)::int AS attempt,
       coalesce(t.attempts_left, j.max_attempts) - (l.job_id IS NOT NULL)::int AS attempts_left,
       j.max_attempts, j.initial_backoff_us, j.max_backoff_us, j.multiplier, j.jitter,
       coalesce(t.run_time, j.run_time) AS run_time,
       coalesce(l.start_time, t.start_time) AS start_time,
       t.end_time,
       CASE WHEN l.job_id IS NOT NULL THEN coalesce(l.worker, s.worker) ELSE t.worker END AS worker,
       CASE WHEN l.job_id IS NOT NULL THEN coalesce(l.revision, ((coalesce(t.revision, 1048576) >> 20) + 1) << 20)
            ELSE coalesce(t.revision, 1048576) END AS revision,
       CASE WHEN l.job_id IS NOT NULL THEN l.percent ELSE t.percent END AS percent,
       CASE WHEN l.job_id IS NOT NULL THEN l.done ELSE t.done END AS done,
       CASE WHEN l.job_id IS NOT NULL THEN l.total ELSE t.total END AS total,
       CASE WHEN l.job_id IS NOT NULL THEN l.unit ELSE t.unit END AS unit,
       CASE WHEN l.job_id IS NOT NULL THEN l.step ELSE t.step END AS step,
       CASE WHEN l.job_id IS NOT NULL THEN l.eta ELSE t.eta END AS eta,
       t.error_type, t.error_message,
       l.cancel_time, l.cancel_actor, l.cancel_reason,
       l.token, l.session_id, l.expire_time,
       (t.id IS NOT NULL)::int AS has_state,
       j.payload, t.result, t.error_stack,
       joblog.id_time(j.id) AS create_time,
       j.extra
FROM joblog.job j
JOIN joblog.lane a USING (lane_id)
LEFT JOIN joblog.job_state t ON t.id = j.id
LEFT JOIN joblog.lease l ON l.job_id = j.id
LEFT JOIN joblog.session s ON s.session_id = l.session_id;
