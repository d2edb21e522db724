-- Workers that an operator has paused: of the process, so that it stays paused when it connects again.

CREATE TABLE joblog.worker_pause (
    worker     text        NOT NULL,
    host       text        NOT NULL,
    pid        bigint      NOT NULL,
    pause_time timestamptz NOT NULL,
    actor      text        NOT NULL,
    reason     text        NOT NULL,
    PRIMARY KEY (worker, host, pid)
);
COMMENT ON TABLE joblog.worker_pause IS 'Workers that are given no jobs, whatever session they come with.';
