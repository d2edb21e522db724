-- What jobs log. docs/store.md, "The log of a job".

CREATE TABLE joblog.job_log (
    job_id   bigint      NOT NULL,
    sequence bigint      NOT NULL,
    time     timestamptz NOT NULL,
    attempt  int         NOT NULL,
    level    smallint    NOT NULL CHECK (level BETWEEN 1 AND 4),
    text     text        NOT NULL,
    PRIMARY KEY (job_id, sequence)
) PARTITION BY RANGE (job_id);
COMMENT ON TABLE joblog.job_log IS 'Lines that jobs logged, numbered for each job from 1; a partition for each month, as of joblog.job.';
COMMENT ON COLUMN joblog.job_log.level IS '1 debug, 2 info, 3 warning, 4 error.';

CREATE TABLE joblog.job_log_size (
    job_id bigint PRIMARY KEY,
    lines  bigint NOT NULL,
    bytes  bigint NOT NULL
) PARTITION BY RANGE (job_id);
COMMENT ON TABLE joblog.job_log_size IS 'What the jobs that log have logged in all, with what was not kept; partitions as of joblog.job_log.';

-- Makes the partitions for the months that joblog.job has partitions for, where they are not there yet. Returns for how many.
CREATE FUNCTION joblog.ensure_log_partitions() RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    month date;
    made  int := 0;
BEGIN
    FOR month IN
        SELECT to_date(substr(c.relname, 5), 'YYYYMM')
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'joblog.job'::regclass AND c.relname ~ '^job_[0-9]{6}$'
        ORDER BY 1
    LOOP
        CONTINUE WHEN to_regclass('joblog.job_log_' || to_char(month, 'YYYYMM')) IS NOT NULL;
        IF made = 0 THEN
            PERFORM pg_advisory_xact_lock(19020, 1000);
            CONTINUE WHEN to_regclass('joblog.job_log_' || to_char(month, 'YYYYMM')) IS NOT NULL;
        END IF;
        PERFORM joblog.make_partition('job_log', month, 'autovacuum_vacuum_insert_scale_factor = 0.5');
        PERFORM joblog.make_partition('job_log_size', month,
                                      'fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
