-- How long the records of jobs that have ended are kept, and the removal of whole months. docs/retention.md.

CREATE TABLE joblog.retention (
    job_name text     NOT NULL,
    status   text     NOT NULL CHECK (status IN ('completed', 'failed', 'cancelled')),
    keep     interval CHECK (keep >= interval '0'),
    PRIMARY KEY (job_name, status)
);
COMMENT ON TABLE joblog.retention IS 'For an operator to write; read every minute. How long the record of a job that ended with this status is kept after its end; without a row, for ever.';
COMMENT ON COLUMN joblog.retention.job_name IS 'Empty: all that have no row of their own.';
COMMENT ON COLUMN joblog.retention.keep IS 'Null: for ever.';

-- What has been deleted is counted under replica 255, which no process takes: every row of tally has one kind of writer.
COMMENT ON TABLE joblog.tally IS 'Jobs by lane and status: the sum over the replicas. A single row may be negative. Rows of replica 255: what has been deleted.';

-- The months of which nothing need be kept at a time, by the suffix of their partitions: all that ended in them ended before what
-- is kept longest, and no job of theirs waits or runs.
CREATE FUNCTION joblog.months_beyond(at timestamptz) RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    longest interval;
    month   text;
    lo      bigint;
    hi      bigint;
    kept    boolean;
BEGIN
    -- Every status has a rule for all names, and none says for ever.
    IF (SELECT count(*) FROM joblog.retention r WHERE r.job_name = '') < 3
       OR EXISTS (SELECT FROM joblog.retention r WHERE r.keep IS NULL) THEN
        RETURN;
    END IF;
    SELECT max(r.keep) INTO longest FROM joblog.retention r;
    FOR month IN
        SELECT right(c.relname, 6) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'joblog.job_state'::regclass AND c.relname ~ '^job_state_[0-9]{6}$' ORDER BY 1
    LOOP
        lo := joblog.id_floor(to_date(month, 'YYYYMM')::timestamp AT TIME ZONE 'UTC');
        hi := joblog.id_floor((to_date(month, 'YYYYMM') + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        EXIT WHEN hi > joblog.id_floor(at - longest);
        EXECUTE format('SELECT EXISTS (SELECT FROM joblog.%I WHERE end_time IS NULL OR end_time >= $1)',
                       'job_state_' || month) INTO kept USING at - longest;
        CONTINUE WHEN kept OR joblog.month_lives(lo, hi);
        RETURN NEXT month;
    END LOOP;
END
$$;

-- Is there a job of this range of ids that waits or runs?
CREATE FUNCTION joblog.month_lives(lo bigint, hi bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM joblog.lease WHERE job_id >= $1 AND job_id < $2)
        OR EXISTS (SELECT FROM joblog.scheduled WHERE id >= $1 AND id < $2)
        OR EXISTS (SELECT FROM joblog.waiting WHERE id >= $1 AND id < $2)
$$;

-- Takes a month out of the tables. Waits for others, who queue behind it meanwhile, for no longer than a few milliseconds, and
-- fails (55P03) when that is not enough: to be tried again.
CREATE FUNCTION joblog.detach_month(month text) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $$
DECLARE
    parent text;
BEGIN
    LOCK TABLE ONLY joblog.job, ONLY joblog.job_state, ONLY joblog.job_log, ONLY joblog.job_log_size IN ACCESS EXCLUSIVE MODE;
    FOREACH parent IN ARRAY ARRAY ['job', 'job_state', 'job_log', 'job_log_size'] LOOP
        CONTINUE WHEN to_regclass('joblog.' || parent || '_' || month) IS NULL;
        EXECUTE format('ALTER TABLE joblog.%I DETACH PARTITION joblog.%I', parent, parent || '_' || month);
    END LOOP;
END
$$;

-- Months that have been taken out and not yet been forgotten, also those that a process left behind that died.
CREATE FUNCTION joblog.detached_months() RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT right(c.relname, 6) FROM pg_class c
    WHERE c.relnamespace = 'joblog'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^job_state_[0-9]{6}$'
      AND NOT c.relispartition
    ORDER BY 1
$$;

-- Deletes a month that was taken out and all that belongs to its jobs, in one transaction. Nobody else uses those rows; but when a
-- job of it was put back to work at the last moment the month is put back as well. Returns how many jobs were deleted;
-- -1: it was put back.
CREATE FUNCTION joblog.forget_month(month text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    lo bigint := joblog.id_floor(to_date(month, 'YYYYMM')::timestamp AT TIME ZONE 'UTC');
    hi bigint := joblog.id_floor((to_date(month, 'YYYYMM') + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    n  bigint;
    parent text;
BEGIN
    IF joblog.month_lives(lo, hi) THEN
        FOREACH parent IN ARRAY ARRAY ['job_log', 'job_log_size', 'job_state', 'job'] LOOP
            CONTINUE WHEN to_regclass('joblog.' || parent || '_' || month) IS NULL;
            EXECUTE format('ALTER TABLE joblog.%I ATTACH PARTITION joblog.%I FOR VALUES FROM (%s) TO (%s)', parent,
                           parent || '_' || month, lo, hi);
        END LOOP;
        RETURN -1;
    END IF;
    DELETE FROM joblog.attempt WHERE job_id >= lo AND job_id < hi;
    DELETE FROM joblog.transition WHERE job_id >= lo AND job_id < hi;
    UPDATE joblog.export_file SET expire_time = now() WHERE job_id >= lo AND job_id < hi AND expire_time > now();
    EXECUTE format('DELETE FROM joblog.request r USING joblog.%I j
                    WHERE j.request_id IS NOT NULL AND r.request_id = j.request_id AND r.job_id = j.id', 'job_' || month);
    EXECUTE format('DELETE FROM joblog.unique_key k USING joblog.%I j JOIN joblog.lane a USING (lane_id)
                    WHERE j.extra ? ''unique_key'' AND k.job_name = a.job_name AND k.key = j.extra->>''unique_key''
                      AND k.job_id = j.id', 'job_' || month);
    EXECUTE format('WITH gone AS (SELECT lane_id, status, count(*) AS n FROM joblog.%I GROUP BY 1, 2), counted AS (
                        INSERT INTO joblog.tally AS t (replica, lane_id, status, n)
                        SELECT 255, lane_id, status, -n FROM gone ORDER BY lane_id, status
                        ON CONFLICT (replica, lane_id, status) DO UPDATE SET n = t.n + excluded.n)
                    SELECT coalesce(sum(n), 0) FROM gone', 'job_state_' || month) INTO n;
    FOREACH parent IN ARRAY ARRAY ['job', 'job_state', 'job_log', 'job_log_size'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS joblog.%I', parent || '_' || month);
    END LOOP;
    RETURN n;
END
$$;
