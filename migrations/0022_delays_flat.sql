-- joblog.dispatch: delays of two dimensions are refused as any other bad parameter (0013 asked array_position, which takes one).

CREATE OR REPLACE FUNCTION joblog.extra_of(backoff text, delays interval[], start_timeout interval, run_timeout interval,
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
    ELSIF kind = 4 AND array_ndims(delays) > 1 THEN
        PERFORM joblog.refuse('delays', 'must be a list of one dimension');
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
