-- Times at which something becomes of a job that is not done by itself. docs/store.md, "Time-outs".

CREATE TABLE joblog.deadline (
    time   timestamptz NOT NULL,
    job_id bigint      NOT NULL,
    token  bigint      NOT NULL,
    PRIMARY KEY (time, job_id, token)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.deadline IS 'When jobs that have a time-out are looked at; most will have started or ended by then.';
COMMENT ON COLUMN joblog.deadline.token IS 'Of the attempt that must have ended; 0: the job must have started.';
