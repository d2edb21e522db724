-- Counters of hours and days, made of those of minutes, so that statistics over a long range read few rows.
-- docs/store.md, "Counters".

CREATE TABLE joblog.rollup (
    span        smallint    NOT NULL CHECK (span IN (1, 2)),
    time        timestamptz NOT NULL,
    lane_id     int         NOT NULL,
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
    PRIMARY KEY (span, time, lane_id)
);
COMMENT ON TABLE joblog.rollup IS 'What happened in an hour (span 1) or a day of UTC (span 2): sums of joblog.minute over its replicas. Never changed.';

CREATE TABLE joblog.rollup_mark (
    span  smallint    PRIMARY KEY CHECK (span IN (1, 2)),
    until timestamptz NOT NULL
);
COMMENT ON TABLE joblog.rollup_mark IS 'Up to where hours and days have been summed up: a whole hour, a whole day.';
INSERT INTO joblog.rollup_mark
SELECT s, date_trunc(u, coalesce((SELECT min(minute) FROM joblog.minute), now()), 'UTC')
FROM (VALUES (1::smallint, 'hour'), (2::smallint, 'day')) v(s, u);

-- Sum of histograms: 64 buckets from 0 (server/core/histogram.h), of which the first and the last in use are kept.
CREATE FUNCTION joblog.histogram_add(sum int[], more int[]) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    FOR i IN coalesce(array_lower(more, 1), 0) .. coalesce(array_upper(more, 1), -1) LOOP
        sum[i] := least(sum[i]::bigint + more[i], 2147483647);
    END LOOP;
    RETURN sum;
END
$$;

CREATE FUNCTION joblog.histogram_trim(sum int[]) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    first int := array_lower(sum, 1);
    last  int := array_upper(sum, 1);
BEGIN
    WHILE first <= last AND sum[first] = 0 LOOP
        first := first + 1;
    END LOOP;
    WHILE last > first AND sum[last] = 0 LOOP
        last := last - 1;
    END LOOP;
    IF first > last THEN
        RETURN '{}';
    END IF;
    RETURN format('[%s:%s]=%s', first, last, sum[first:last]::text)::int[];
END
$$;

CREATE AGGREGATE joblog.histogram_sum (int[]) (
    sfunc = joblog.histogram_add, stype = int[], finalfunc = joblog.histogram_trim,
    initcond = '[0:63]={0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}'
);
