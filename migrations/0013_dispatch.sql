-- Dispatch from SQL, within the caller's own transaction. docs/sql.md.
--
-- The function inserts the job and notes its arrival; a server takes it from there in a batch of its own: counts it, tells watchers,
-- gives it to a worker or puts it in line. So counters and the log of changes have one kind of writer, and a caller's transaction
-- holds no lock that a batch waits for.

CREATE TABLE joblog.arrival (
    id      bigint PRIMARY KEY,
    lane_id int    NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE joblog.arrival IS 'Jobs that were dispatched from SQL and that no server has seen yet: for some milliseconds each.';

CREATE SEQUENCE joblog.dispatch_sequence CYCLE MINVALUE 0 MAXVALUE 16383;

-- What a transaction that dispatches from SQL holds until its end, so that others need not wait for it: one of 1024 locks for a
-- unique key, likewise for a pair of queue and job name that is new. So many, and not one a key, since they lie in shared memory.
-- Servers try them only (unique_take.sql, lane_make.sql).
CREATE FUNCTION joblog.key_lock(a text, b text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext($1 || E'\n' || $2) & 1023 $$;

-- For servers: does nobody who dispatches from SQL hold the lock of a unique key? Then nobody does until this transaction ends.
CREATE FUNCTION joblog.key_is_free(a_lane_id int, a_key text) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT pg_try_advisory_xact_lock_shared(19024, joblog.key_lock(a.job_name, $2)) FROM joblog.lane a WHERE a.lane_id = $1
$$;

CREATE OR REPLACE FUNCTION joblog.month_lives(lo bigint, hi bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM joblog.lease WHERE job_id >= $1 AND job_id < $2)
        OR EXISTS (SELECT FROM joblog.scheduled WHERE id >= $1 AND id < $2)
        OR EXISTS (SELECT FROM joblog.waiting WHERE id >= $1 AND id < $2)
        OR EXISTS (SELECT FROM joblog.arrival WHERE id >= $1 AND id < $2)
$$;

-- ---- the rules, as server/rpc/check_job.c has them ----

CREATE FUNCTION joblog.refuse(field text, problem text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %', field, problem USING ERRCODE = 'invalid_parameter_value', COLUMN = field;
END
$$;

CREATE FUNCTION joblog.check_text(field text, value text, max int, needed boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF needed AND coalesce(value, '') = '' THEN
        PERFORM joblog.refuse(field, 'must not be empty');
    ELSIF octet_length(value) > max THEN
        PERFORM joblog.refuse(field, format('must be at most %s bytes, is %s', max, octet_length(value)));
    END IF;
END
$$;

-- Microseconds; null stays null. A year at most.
CREATE FUNCTION joblog.check_interval(field text, value interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    us numeric := extract(epoch FROM value) * 1000000;
BEGIN
    IF us < 0 OR us > 31536000000000 THEN
        PERFORM joblog.refuse(field, 'must be from 0 to 365 days');
    END IF;
    RETURN us::bigint;
END
$$;

CREATE FUNCTION joblog.check_labels(labels jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    key   text;
    value jsonb;
BEGIN
    IF labels IS NULL OR labels = '{}' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(labels) <> 'object' THEN
        PERFORM joblog.refuse('labels', 'must be a JSON object');
    ELSIF (SELECT count(*) FROM jsonb_object_keys(labels)) > 32 THEN
        PERFORM joblog.refuse('labels', 'must hold at most 32 labels');
    END IF;
    FOR key, value IN SELECT * FROM jsonb_each(labels) LOOP
        IF key = '' OR octet_length(key) > 63 THEN
            PERFORM joblog.refuse('labels', 'must have keys of 1 to 63 bytes');
        ELSIF jsonb_typeof(value) <> 'string' THEN
            PERFORM joblog.refuse('labels', 'must have values that are texts');
        END IF;
        PERFORM joblog.check_text('labels', value #>> '{}', 200, false);
    END LOOP;
    RETURN labels;
END
$$;

CREATE FUNCTION joblog.check_payload(payload jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    as_text text := payload::text;
BEGIN
    IF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
        PERFORM joblog.refuse('payload', 'must be a JSON object');
    ELSIF octet_length(as_text) > 262144 THEN
        PERFORM joblog.refuse('payload', format('must be at most 262144 bytes, is %s', octet_length(as_text)));
    END IF;
    -- So many brackets are needed for a nesting that is too deep; few payloads have them.
    IF length(as_text) - length(translate(as_text, '{[', '')) > 64 AND EXISTS (
        WITH RECURSIVE nest(value, depth) AS (
            SELECT payload, 1
            UNION ALL
            SELECT c.value, n.depth + 1
            FROM nest n
            CROSS JOIN LATERAL (
                SELECT e.value FROM jsonb_each(CASE jsonb_typeof(n.value) WHEN 'object' THEN n.value ELSE '{}' END) e
                UNION ALL
                SELECT a.value FROM jsonb_array_elements(CASE jsonb_typeof(n.value) WHEN 'array' THEN n.value ELSE '[]' END) a) c
            WHERE jsonb_typeof(c.value) IN ('object', 'array') AND n.depth <= 64)
        SELECT FROM nest WHERE depth > 64) THEN
        PERFORM joblog.refuse('payload', 'must not be nested deeper than 64');
    END IF;
END
$$;

-- What few jobs have (server/core/extra.h); null when it is nothing.
CREATE FUNCTION joblog.extra_of(backoff text, delays interval[], start_timeout interval, run_timeout interval,
                                heartbeat_timeout interval, unique_key text, unique_scope int, unique_period interval) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    kind     int    := array_position(ARRAY ['exponential', 'linear', 'fixed', 'list'], backoff);
    start_us bigint := joblog.check_interval('start_timeout', start_timeout);
    run_us   bigint := joblog.check_interval('run_timeout', run_timeout);
    beat_us  bigint := joblog.check_interval('heartbeat_timeout', heartbeat_timeout);
    extra    jsonb  := '{}';
BEGIN
    IF kind IS NULL THEN
        PERFORM joblog.refuse('backoff', 'must be exponential, linear, fixed or list');
    ELSIF kind <> 4 AND cardinality(delays) > 0 THEN
        PERFORM joblog.refuse('delays', 'must be empty: only the back-off list has them');
    ELSIF kind = 4 AND coalesce(cardinality(delays), 0) NOT BETWEEN 1 AND 100 THEN
        PERFORM joblog.refuse('delays', 'must be 1 to 100');
    ELSIF kind = 4 AND array_position(delays, NULL) IS NOT NULL THEN
        PERFORM joblog.refuse('delays', 'must not be null');
    END IF;
    IF kind > 1 THEN
        extra := extra || jsonb_build_object('backoff', kind, 'delays_us', coalesce(
            (SELECT jsonb_agg(joblog.check_interval('delays', d) ORDER BY n) FROM unnest(delays) WITH ORDINALITY u(d, n)), '[]'));
    END IF;
    IF start_us > 0 OR run_us > 0 THEN
        extra := extra || jsonb_build_object('start_timeout_us', coalesce(start_us, 0), 'run_timeout_us', coalesce(run_us, 0));
    END IF;
    IF beat_us > 0 THEN
        extra := extra || jsonb_build_object('heartbeat_timeout_us', beat_us);
    END IF;
    IF unique_key IS NOT NULL THEN
        extra := extra || jsonb_build_object('unique_scope', unique_scope, 'unique_key', unique_key, 'unique_period_us',
                                             coalesce(joblog.check_interval('unique_period', unique_period), 0));
    END IF;
    RETURN nullif(extra, '{}');
END
$$;

-- ---- what must be there once ----

-- The lane of a queue and a job name. A new one keeps others who want the same one waiting, or refused, until this transaction ends.
CREATE FUNCTION joblog.lane_for(a_queue text, a_job_name text) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    found_id int;
BEGIN
    SELECT l.lane_id INTO found_id FROM joblog.lane l WHERE l.queue = a_queue AND l.job_name = a_job_name;
    IF FOUND THEN
        RETURN found_id;
    END IF;
    IF (SELECT count(*) FROM joblog.lane) >= 100000 THEN
        RAISE EXCEPTION 'there are too many different job names and queues' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    PERFORM pg_advisory_xact_lock(19023, joblog.key_lock(a_queue, a_job_name));
    INSERT INTO joblog.lane (queue, job_name) VALUES (a_queue, a_job_name) ON CONFLICT DO NOTHING;
    SELECT l.lane_id INTO found_id FROM joblog.lane l WHERE l.queue = a_queue AND l.job_name = a_job_name;
    RETURN found_id;
END
$$;

-- Takes a request id for a job. Returns the job that has it: this one, or that of an earlier dispatch like this one.
CREATE FUNCTION joblog.take_request(a_request_id text, a_job_id bigint, a_hash bytea, at timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    holder joblog.request;
BEGIN
    INSERT INTO joblog.request (request_id, job_id, body_hash, create_time) VALUES (a_request_id, a_job_id, a_hash, at)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN a_job_id;
    END IF;
    SELECT * INTO holder FROM joblog.request r WHERE r.request_id = a_request_id;
    IF holder.body_hash IS DISTINCT FROM a_hash THEN
        RAISE EXCEPTION 'request_id was used before with a different request'
            USING ERRCODE = 'unique_violation', COLUMN = 'request_id', CONSTRAINT = 'request_pkey';
    END IF;
    RETURN holder.job_id;
END
$$;

-- Takes a unique key for a job. Returns the job that has it.
CREATE FUNCTION joblog.take_key(a_job_name text, a_key text, a_job_id bigint, a_scope int, an_end timestamptz, at timestamptz)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    holder bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(19024, joblog.key_lock(a_job_name, a_key));
    DELETE FROM joblog.unique_key k WHERE k.job_name = a_job_name AND k.key = a_key AND k.expire_time <= at;
    INSERT INTO joblog.unique_key (job_name, key, job_id, scope, expire_time)
    VALUES (a_job_name, a_key, a_job_id, a_scope, an_end)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN a_job_id;
    END IF;
    SELECT k.job_id INTO holder FROM joblog.unique_key k WHERE k.job_name = a_job_name AND k.key = a_key;
    IF holder IS NULL THEN
        RAISE EXCEPTION 'unique_key was released at this moment' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN holder;
END
$$;

-- Gives the job that holds a key another payload, as unique_payload.sql does. It must wait; until this transaction ends it goes on
-- doing so. A server may be moving it from one place to the next at this moment: then look again.
CREATE FUNCTION joblog.change_payload(holder bigint, more jsonb, merge boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    j joblog.job;
    due timestamptz;
    waits boolean := false;
BEGIN
    FOR attempt IN 1 .. 5 LOOP
        SELECT * INTO j FROM joblog.job b WHERE b.id = holder;
        due := coalesce((SELECT t.run_time FROM joblog.job_state t WHERE t.id = holder), j.run_time);
        PERFORM FROM joblog.arrival a WHERE a.id = holder FOR UPDATE;
        waits := FOUND;
        IF NOT waits THEN
            PERFORM FROM joblog.waiting w
            WHERE w.lane_id = j.lane_id AND w.neg_priority = (-j.priority)::smallint AND w.id = holder FOR UPDATE;
            waits := FOUND;
        END IF;
        IF NOT waits THEN
            PERFORM FROM joblog.scheduled s WHERE s.run_time = due AND s.id = holder FOR UPDATE;
            waits := FOUND;
        END IF;
        EXIT WHEN waits OR EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = holder);
    END LOOP;
    IF NOT waits THEN
        RAISE EXCEPTION 'unique_key is held by job %, which does not wait any more', holder
            USING ERRCODE = 'unique_violation', COLUMN = 'unique_key', CONSTRAINT = 'unique_key_pkey';
    END IF;
    -- What another transaction put there while this one waited for it.
    SELECT b.payload INTO j.payload FROM joblog.job b WHERE b.id = holder;
    IF merge THEN
        more := j.payload || more;
    END IF;
    IF octet_length(more::text) > 262144 THEN
        PERFORM joblog.refuse('payload', 'would have more than 262144 bytes together with what the job has');
    END IF;
    UPDATE joblog.job b SET payload = more WHERE b.id = holder;
END
$$;

-- ---- the function ----

CREATE FUNCTION joblog.dispatch(
    job_name        text,
    payload         jsonb            DEFAULT '{}',
    queue           text             DEFAULT 'default',
    priority        int              DEFAULT 0,
    run_time        timestamptz      DEFAULT NULL,
    max_attempts    int              DEFAULT 1,
    backoff         text             DEFAULT 'exponential',
    initial_backoff interval         DEFAULT '1 second',
    max_backoff     interval         DEFAULT '10 minutes',
    multiplier      double precision DEFAULT NULL,
    jitter          double precision DEFAULT 0,
    delays          interval[]       DEFAULT NULL,
    start_timeout   interval         DEFAULT NULL,
    run_timeout     interval         DEFAULT NULL,
    heartbeat_timeout interval       DEFAULT NULL,
    labels          jsonb            DEFAULT NULL,
    owner           text             DEFAULT NULL,
    source_type     text             DEFAULT NULL,
    source_id       text             DEFAULT NULL,
    batch           text             DEFAULT NULL,
    traceparent     text             DEFAULT NULL,
    request_id      text             DEFAULT NULL,
    unique_key      text             DEFAULT NULL,
    unique_scope    text             DEFAULT 'not_final',
    unique_period   interval         DEFAULT NULL,
    on_conflict     text             DEFAULT 'reject'
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    at      timestamptz := clock_timestamp();
    new_id  bigint := joblog.id_floor(at) | (255::bigint << 14) | nextval('joblog.dispatch_sequence');
    scope   int    := array_position(ARRAY ['not_final', 'pending', 'period'], unique_scope);
    lane    int;
    holder  bigint;
    extra   jsonb;
BEGIN
    PERFORM joblog.check_text('job_name', job_name, 200, true);
    PERFORM joblog.check_text('queue', queue, 200, true);
    IF starts_with(job_name, 'joblog.') OR starts_with(queue, 'joblog.') THEN
        PERFORM joblog.refuse(CASE WHEN starts_with(job_name, 'joblog.') THEN 'job_name' ELSE 'queue' END,
                              'must not begin with "joblog.": such names are the server''s own');
    ELSIF priority IS NULL OR priority NOT BETWEEN -1000 AND 1000 THEN
        PERFORM joblog.refuse('priority', 'must be from -1000 to 1000');
    ELSIF max_attempts IS NULL OR max_attempts NOT BETWEEN 1 AND 1000 THEN
        PERFORM joblog.refuse('max_attempts', 'must be from 1 to 1000');
    ELSIF NOT multiplier BETWEEN 1 AND 100 THEN
        PERFORM joblog.refuse('multiplier', 'must be from 1 to 100');
    ELSIF multiplier IS NOT NULL AND backoff <> 'exponential' THEN
        PERFORM joblog.refuse('multiplier', 'must be null: only the exponential back-off has one');
    ELSIF jitter IS NULL OR NOT jitter BETWEEN 0 AND 1 THEN
        PERFORM joblog.refuse('jitter', 'must be from 0 to 1');
    ELSIF source_id IS NOT NULL AND coalesce(source_type, '') = '' THEN
        PERFORM joblog.refuse('source_type', 'must not be empty when there is a source_id');
    ELSIF run_time = 'infinity' OR run_time >= timestamptz '10000-01-01Z' THEN
        PERFORM joblog.refuse('run_time', 'must be before the year 10000');
    END IF;
    PERFORM joblog.check_text('owner', owner, 200, false);
    PERFORM joblog.check_text('source_type', source_type, 200, false);
    PERFORM joblog.check_text('source_id', source_id, 200, false);
    PERFORM joblog.check_text('batch', batch, 200, false);
    PERFORM joblog.check_text('traceparent', traceparent, 200, false);
    PERFORM joblog.check_text('request_id', request_id, 128, false);
    PERFORM joblog.check_text('unique_key', unique_key, 200, unique_key IS NOT NULL);
    PERFORM joblog.check_payload(payload);
    labels := joblog.check_labels(labels);
    IF scope IS NULL THEN
        PERFORM joblog.refuse('unique_scope', 'must be not_final, pending or period');
    ELSIF (scope = 3) <> (coalesce(unique_period, interval '0') > interval '0') THEN
        PERFORM joblog.refuse('unique_period', 'must be above zero with the scope period, and null otherwise');
    ELSIF on_conflict IS NULL OR on_conflict NOT IN ('reject', 'use_existing', 'replace_payload', 'merge_payload') THEN
        PERFORM joblog.refuse('on_conflict', 'must be reject, use_existing, replace_payload or merge_payload');
    END IF;
    extra := joblog.extra_of(backoff, delays, start_timeout, run_timeout, heartbeat_timeout, unique_key, scope, unique_period);

    IF request_id <> '' THEN
        holder := joblog.take_request(request_id, new_id, decode(md5(ROW ('sql', job_name, payload, queue, priority, run_time,
            max_attempts, initial_backoff, max_backoff, multiplier, jitter, labels, owner, source_type, source_id, batch,
            on_conflict, extra)::text), 'hex'), at);
        IF holder <> new_id THEN
            RETURN holder;
        END IF;
    END IF;
    IF unique_key IS NOT NULL THEN
        holder := joblog.take_key(job_name, unique_key, new_id, scope, CASE WHEN scope = 3 THEN
            at + joblog.check_interval('unique_period', unique_period) * interval '1 us' END, at);
        IF holder <> new_id AND on_conflict = 'reject' THEN
            RAISE EXCEPTION 'unique_key is held by job %', holder
                USING ERRCODE = 'unique_violation', COLUMN = 'unique_key', CONSTRAINT = 'unique_key_pkey';
        ELSIF holder <> new_id THEN
            IF on_conflict <> 'use_existing' THEN
                PERFORM joblog.change_payload(holder, payload, on_conflict = 'merge_payload');
            END IF;
            UPDATE joblog.request r SET job_id = holder WHERE r.request_id = dispatch.request_id AND r.job_id = new_id;
            RETURN holder;
        END IF;
    END IF;
    lane := joblog.lane_for(queue, job_name);
    INSERT INTO joblog.job (id, run_time, lane_id, max_attempts, priority, initial_backoff_us, max_backoff_us, multiplier, jitter,
                            source_type, source_id, owner, creator, batch, traceparent, request_id, labels, payload, extra)
    VALUES (new_id, greatest(run_time, at), lane, max_attempts, priority,
            nullif(joblog.check_interval('initial_backoff', initial_backoff), 1000000),
            nullif(joblog.check_interval('max_backoff', max_backoff), 600000000), nullif(coalesce(multiplier, 2), 2), nullif(jitter, 0),
            nullif(source_type, ''), CASE WHEN source_type <> '' THEN nullif(source_id, '') END, nullif(owner, ''),
            'database:' || session_user, nullif(batch, ''), nullif(traceparent, ''), nullif(request_id, ''), labels, payload,
            extra);
    INSERT INTO joblog.arrival (id, lane_id) VALUES (new_id, lane);
    IF current_setting('joblog.quiet', true) IS DISTINCT FROM 'on' THEN
        PERFORM pg_notify('joblog_dispatch', '');
    END IF;
    RETURN new_id;
END
$$;
COMMENT ON FUNCTION joblog.dispatch IS 'Makes a job within the caller''s transaction; returns its id. Parameters by name. docs/sql.md';

-- Nobody but those who are granted it, and then through the function alone.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'joblog'::regnamespace
        AND p.proname IN ('dispatch', 'lane_for', 'take_request', 'take_key', 'change_payload', 'extra_of', 'check_payload',
                          'check_labels', 'check_interval', 'check_text', 'refuse', 'key_lock', 'key_is_free') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;
