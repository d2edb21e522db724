-- The schema. docs/store.md tells how it is used; server/core/job.h what a job is.
--
-- The record of a job is cold and in two parts: what was asked for (job), written at its dispatch, and how it stood when an
-- attempt ended last (job_state), written then. What changes meanwhile lives in narrow hot tables: waiting, scheduled, lease.
-- So an ordinary life inserts two rows of history and updates none.

-- ---- statuses ----

CREATE TABLE joblog.status_catalogue (
    status   smallint NOT NULL,
    language text     NOT NULL,
    label    text     NOT NULL,
    PRIMARY KEY (status, language)
);
COMMENT ON TABLE joblog.status_catalogue IS 'What a status is called, for people. An operator may change labels and add languages.';

CREATE TABLE joblog.status_look (
    status smallint PRIMARY KEY CHECK (status BETWEEN 1 AND 5),
    name   text NOT NULL UNIQUE,
    color  text NOT NULL,
    icon   text NOT NULL
);
COMMENT ON TABLE joblog.status_look IS 'Name in programs, colour and icon of a status. An operator may change colours and icons.';

ALTER TABLE joblog.status_catalogue ADD FOREIGN KEY (status) REFERENCES joblog.status_look;

INSERT INTO joblog.status_look VALUES
    (1, 'pending', 'yellow', 'clock'),
    (2, 'running', 'blue', 'play'),
    (3, 'completed', 'green', 'check'),
    (4, 'failed', 'red', 'x'),
    (5, 'cancelled', 'gray', 'ban');
INSERT INTO joblog.status_catalogue VALUES
    (1, 'en', 'Pending'), (2, 'en', 'Running'), (3, 'en', 'Completed'), (4, 'en', 'Failed'), (5, 'en', 'Cancelled'),
    (1, 'es', 'Pendiente'), (2, 'es', 'Ejecutándose'), (3, 'es', 'Completado'), (4, 'es', 'Fallido'),
    (5, 'es', 'Cancelado');

CREATE TABLE joblog.transition_rule (
    from_status smallint NOT NULL REFERENCES joblog.status_look,
    to_status   smallint NOT NULL REFERENCES joblog.status_look,
    PRIMARY KEY (from_status, to_status)
);
COMMENT ON TABLE joblog.transition_rule IS 'The changes of status that there are; equals JOB_TRANSITIONS in server/core/life.h.';
INSERT INTO joblog.transition_rule VALUES (1, 2), (1, 5), (2, 3), (2, 4), (2, 5), (2, 1), (4, 1), (5, 1);

-- A job that is stored as pending may be running: it is when it has a lease. So what may follow on either of the two may
-- follow on a stored 1.
CREATE FUNCTION joblog.transition_allowed(from_status int, to_status int) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM joblog.transition_rule r
                   WHERE r.to_status = $2 AND (r.from_status = $1 OR ($1 = 1 AND r.from_status = 2)))
$$;

CREATE FUNCTION joblog.refuse_transition() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF joblog.transition_allowed(OLD.status, NEW.status) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % cannot change from status % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'JL002';
END
$$;

-- Called by a statement that changed fewer rows than it must: undoes the whole batch, whose commands then run one by one.
CREATE FUNCTION joblog.collide() RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row was changed by somebody else' USING ERRCODE = 'JL001';
END
$$;

-- Patches of one payload, one after the other.
CREATE AGGREGATE joblog.merge (jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');

-- ---- the record ----

CREATE TABLE joblog.lane (
    lane_id  int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue    text NOT NULL,
    job_name text NOT NULL,
    UNIQUE (queue, job_name)
);
COMMENT ON TABLE joblog.lane IS 'A queue and a job name that were met together. Never changed, never deleted.';

CREATE TABLE joblog.job (
    id             bigint      NOT NULL,
    run_time       timestamptz NOT NULL,
    lane_id        int         NOT NULL,
    max_attempts   int         NOT NULL,
    priority       smallint    NOT NULL,
    initial_backoff_us bigint,
    max_backoff_us bigint,
    multiplier     double precision,
    jitter         double precision,
    source_type    text,
    source_id      text,
    owner          text,
    creator        text,
    batch          text,
    traceparent    text,
    request_id     text,
    labels         jsonb,
    payload        jsonb       NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE joblog.job IS 'What was asked for, of every job; a partition for each month. Read it through joblog.job_now.';

CREATE INDEX job_lane ON joblog.job (lane_id, id);
CREATE INDEX job_owner ON joblog.job (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX job_source ON joblog.job (source_type, source_id, id) WHERE source_type IS NOT NULL;
CREATE INDEX job_batch ON joblog.job (batch, id) WHERE batch IS NOT NULL;
CREATE INDEX job_labels ON joblog.job USING gin (labels jsonb_path_ops) WHERE labels IS NOT NULL;

CREATE TABLE joblog.job_state (
    id            bigint      NOT NULL,
    revision      bigint      NOT NULL,
    last_token    bigint,
    run_time      timestamptz NOT NULL,
    start_time    timestamptz,
    end_time      timestamptz,
    lane_id       int         NOT NULL,
    attempt       int         NOT NULL,
    attempts_left int         NOT NULL,
    status        smallint    NOT NULL CHECK (status IN (1, 3, 4, 5)),
    worker        text,
    percent       double precision,
    done          bigint,
    total         bigint,
    unit          text,
    step          text,
    eta           timestamptz,
    error_type    text,
    error_message text,
    error_stack   text,
    result        jsonb,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE joblog.job_state IS 'How a job stood when an attempt ended last, or when it was cancelled or retried; partitions as of joblog.job. A job without a row is pending for the first time, or runs for the first time.';
COMMENT ON COLUMN joblog.job_state.status IS '1 also while a later attempt runs: a running job has a row in joblog.lease.';
COMMENT ON COLUMN joblog.job_state.last_token IS 'Token of the lease that ended last.';

CREATE INDEX job_state_bad ON joblog.job_state (status, id) WHERE status >= 4;

CREATE TRIGGER job_transition BEFORE UPDATE OF status ON joblog.job_state
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND OLD.status <> 1)
    EXECUTE FUNCTION joblog.refuse_transition();

-- Smallest id made at or after a time; equals id_floor() in server/core/id.c.
CREATE FUNCTION joblog.id_floor(at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(0, floor(extract(epoch FROM $1) * 1000)::bigint - 1704067200000) << 22
$$;

CREATE FUNCTION joblog.id_time(id bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_timestamp(((id >> 22) + 1704067200000) / 1000.0)
$$;

-- Makes a partition of a table for a month. Attached, not made as a partition: that takes no lock that would stop reads and
-- writes.
CREATE FUNCTION joblog.make_partition(parent text, month date, settings text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name text := parent || '_' || to_char(month, 'YYYYMM');
BEGIN
    EXECUTE format('CREATE TABLE joblog.%I (LIKE joblog.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (%s)', name,
                   parent, settings);
    EXECUTE format('ALTER TABLE joblog.%I ATTACH PARTITION joblog.%I FOR VALUES FROM (%s) TO (%s)', parent, name,
                   joblog.id_floor(month::timestamp AT TIME ZONE 'UTC'),
                   joblog.id_floor((month + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
END
$$;

-- Makes the monthly partitions from one day to another, both included, that are not there yet. Returns for how many months.
CREATE FUNCTION joblog.ensure_partitions(from_day date, to_day date) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    month date;
    made  int := 0;
BEGIN
    FOR month IN
        SELECT m::date FROM generate_series(date_trunc('month', from_day::timestamp), to_day::timestamp, '1 month') m
    LOOP
        CONTINUE WHEN to_regclass('joblog.job_' || to_char(month, 'YYYYMM')) IS NOT NULL;
        IF made = 0 THEN
            PERFORM pg_advisory_xact_lock(19020, 1000);
            CONTINUE WHEN to_regclass('joblog.job_' || to_char(month, 'YYYYMM')) IS NOT NULL;
        END IF;
        -- Rows are inserted once and seldom changed: vacuum is for the visibility map.
        PERFORM joblog.make_partition('job', month, 'autovacuum_vacuum_insert_scale_factor = 0.5');
        PERFORM joblog.make_partition('job_state', month, 'autovacuum_vacuum_insert_scale_factor = 0.5');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

CREATE TABLE joblog.attempt (
    job_id        bigint      NOT NULL,
    number        int         NOT NULL,
    outcome       smallint    NOT NULL,
    revision      bigint      NOT NULL,
    start_time    timestamptz NOT NULL,
    end_time      timestamptz NOT NULL,
    worker        text,
    error_type    text,
    error_message text,
    error_stack   text,
    PRIMARY KEY (job_id, number)
);
COMMENT ON TABLE joblog.attempt IS 'Attempts that ended otherwise than completed; a completed one is told by the job itself.';
COMMENT ON COLUMN joblog.attempt.revision IS 'Of the job after the attempt.';

CREATE TABLE joblog.transition (
    job_id      bigint      NOT NULL,
    revision    bigint      NOT NULL,
    time        timestamptz NOT NULL,
    from_status smallint    NOT NULL,
    to_status   smallint    NOT NULL,
    actor       text,
    reason      text,
    request_id  text,
    PRIMARY KEY (job_id, revision)
);
COMMENT ON TABLE joblog.transition IS 'Changes of status out of the ordinary, with who and why. Dispatch, starts and completion are told by the other tables.';

CREATE TABLE joblog.request (
    request_id  text        PRIMARY KEY,
    job_id      bigint      NOT NULL,
    body_hash   bytea       NOT NULL,
    create_time timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.request IS 'Request ids of dispatches, kept for a day, so that a repeated call gets the same job.';

-- ---- the hot tables ----

CREATE TABLE joblog.waiting (
    lane_id      int      NOT NULL,
    neg_priority smallint NOT NULL,
    has_state    boolean  NOT NULL,
    id           bigint   NOT NULL,
    PRIMARY KEY (lane_id, neg_priority, id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.5);
COMMENT ON TABLE joblog.waiting IS 'Jobs that may run now, in the order of the key.';
COMMENT ON COLUMN joblog.waiting.has_state IS 'Whether it has a row in joblog.job_state; spares claims the look.';

CREATE TABLE joblog.scheduled (
    run_time     timestamptz NOT NULL,
    id           bigint      NOT NULL,
    lane_id      int         NOT NULL,
    neg_priority smallint    NOT NULL,
    has_state    boolean     NOT NULL,
    PRIMARY KEY (run_time, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.scheduled IS 'Jobs that may not run yet.';

CREATE TABLE joblog.session (
    session_id  bigint      PRIMARY KEY,
    expire_time timestamptz NOT NULL,
    start_time  timestamptz NOT NULL,
    replica     int         NOT NULL,
    pid         bigint      NOT NULL,
    worker      text        NOT NULL,
    version     text,
    host        text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.session IS 'Workers that are connected, or were less than a lease time-out ago.';

CREATE TABLE joblog.lease (
    job_id        bigint      PRIMARY KEY,
    token         bigint      NOT NULL,
    session_id    bigint,
    start_time    timestamptz NOT NULL,
    expire_time   timestamptz,
    revision      bigint,
    lane_id       int         NOT NULL,
    worker        text,
    percent       double precision,
    done          bigint,
    total         bigint,
    unit          text,
    step          text,
    eta           timestamptz,
    cancel_time   timestamptz,
    cancel_actor  text,
    cancel_reason text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_analyze_scale_factor = 0.5);
CREATE INDEX lease_expire ON joblog.lease (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX lease_cancel ON joblog.lease (cancel_time) WHERE cancel_time IS NOT NULL;
COMMENT ON TABLE joblog.lease IS 'Jobs that run. A row ends with the attempt; its token fences every write.';
COMMENT ON COLUMN joblog.lease.revision IS 'Null before the first progress: the one that follows from the job.';
COMMENT ON COLUMN joblog.lease.worker IS 'Null: the worker of its session.';
COMMENT ON COLUMN joblog.lease.expire_time IS 'Null: it ends with its session.';

-- ---- counters: each row belongs to one replica, which writes its present value in every batch ----

CREATE TABLE joblog.replica (
    number    int PRIMARY KEY CHECK (number BETWEEN 0 AND 255),
    batch     bigint      NOT NULL,
    last_id   bigint      NOT NULL,
    seen_time timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.replica IS 'Who has which replica number (held by an advisory lock), and the last batch it committed.';

CREATE TABLE joblog.tally (
    replica int      NOT NULL,
    lane_id int      NOT NULL,
    status  smallint NOT NULL,
    n       bigint   NOT NULL,
    PRIMARY KEY (replica, lane_id, status)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.tally IS 'Jobs by lane and status: the sum over the replicas. A single row may be negative.';

CREATE TABLE joblog.minute (
    minute      timestamptz NOT NULL,
    lane_id     int         NOT NULL,
    replica     int         NOT NULL,
    dispatched  bigint      NOT NULL,
    completed   bigint      NOT NULL,
    failed      bigint      NOT NULL,
    cancelled   bigint      NOT NULL,
    retried     bigint      NOT NULL,
    n_runs      bigint      NOT NULL,
    run_us_sum  bigint      NOT NULL,
    wait_us_sum bigint      NOT NULL,
    run_hist    int[]       NOT NULL,
    wait_hist   int[]       NOT NULL,
    PRIMARY KEY (minute, lane_id, replica)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.minute IS 'What happened in a minute. The histograms start at the subscript of their first bucket in use (server/core/histogram.h).';

-- ---- exports ----

CREATE TABLE joblog.export_file (
    job_id       bigint      PRIMARY KEY,
    name         text        NOT NULL,
    content_type text        NOT NULL,
    size         bigint      NOT NULL,
    rows         bigint      NOT NULL,
    sha256       text        NOT NULL,
    chunk_bytes  int         NOT NULL,
    token        bigint      NOT NULL,
    expire_time  timestamptz NOT NULL
);
COMMENT ON TABLE joblog.export_file IS 'Finished files of exports; token names the attempt whose chunks they are.';

CREATE TABLE joblog.export_chunk (
    job_id bigint NOT NULL,
    token  bigint NOT NULL,
    seq    int    NOT NULL,
    crc32c bigint NOT NULL,
    data   bytea  NOT NULL,
    PRIMARY KEY (job_id, token, seq)
);
ALTER TABLE joblog.export_chunk ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE joblog.export_chunk IS 'Contents of files, uncompressed, so that a part of a chunk can be read alone.';

-- ---- for people ----

CREATE VIEW joblog.job_now AS
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
       joblog.id_time(j.id) AS create_time
FROM joblog.job j
JOIN joblog.lane a USING (lane_id)
LEFT JOIN joblog.job_state t ON t.id = j.id
LEFT JOIN joblog.lease l ON l.job_id = j.id
LEFT JOIN joblog.session s ON s.session_id = l.session_id;
COMMENT ON VIEW joblog.job_now IS 'Jobs as they are now.';
