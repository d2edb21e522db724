-- Queues that are paused; jobs by the type of their last error. docs/store.md, "Pauses" and "Lists".

CREATE TABLE joblog.queue_pause (
    queue  text        PRIMARY KEY,
    time   timestamptz NOT NULL,
    actor  text        NOT NULL,
    reason text
);
COMMENT ON TABLE joblog.queue_pause IS 'Queues of which no further job is given to a worker.';

CREATE INDEX job_state_error ON joblog.job_state (error_type, id) WHERE error_type IS NOT NULL;
