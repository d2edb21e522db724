-- joblog.dispatch: a request id is known again whatever the session is set to. 0013 took the hash of texts that depend on TimeZone,
-- IntervalStyle, DateStyle and extra_float_digits; now times, intervals and floats are in it as their bits or microseconds. No text of
-- bytea either: it depends on bytea_output. Ids that were hashed the former way are kept for a day: until then a repeat of one of them is
-- refused as that of another request, and no second job is made.

CREATE OR REPLACE FUNCTION joblog.dispatch(
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
    initial_us bigint;
    max_us     bigint;
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

    initial_us := joblog.check_interval('initial_backoff', initial_backoff);
    max_us := joblog.check_interval('max_backoff', max_backoff);

    IF request_id <> '' THEN
        holder := joblog.take_request(request_id, new_id, decode(md5(ROW ('sql', job_name, payload, queue, priority,
            encode(timestamptz_send(run_time), 'hex'), max_attempts, initial_us, max_us, encode(float8send(multiplier), 'hex'),
            encode(float8send(jitter), 'hex'), labels, owner, source_type, source_id, batch, on_conflict, extra)::text), 'hex'), at);
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
            nullif(initial_us, 1000000), nullif(max_us, 600000000), nullif(coalesce(multiplier, 2), 2), nullif(jitter, 0),
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
