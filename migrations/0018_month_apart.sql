-- Old months are taken out of the tables one table at a time, so that nobody waits for more than one of them. docs/retention.md.

-- Takes a month out of one table (job, job_log, job_log_size, job_state: in this order, since no job has a record once job has gone);
-- nothing when it is not in it. Waits for others, who queue behind it meanwhile, for no longer than a few milliseconds, and fails
-- (55P03) when that is not enough: to be tried again.
CREATE FUNCTION joblog.detach_month_of(parent text, month text) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $$
DECLARE
    partition regclass := to_regclass('joblog.' || parent || '_' || month);
BEGIN
    IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = partition AND i.inhparent = ('joblog.' || parent)::regclass) THEN
        EXECUTE format('ALTER TABLE joblog.%I DETACH PARTITION %s', parent, partition);
    END IF;
END
$$;

-- Months that somebody began to take out, and died before the end.
CREATE FUNCTION joblog.months_begun() RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT right(c.relname, 6)
    FROM pg_class c
    JOIN pg_class s ON s.relnamespace = c.relnamespace AND s.relname = 'job_state_' || right(c.relname, 6) AND s.relispartition
    WHERE c.relnamespace = 'joblog'::regnamespace AND c.relkind = 'r'
      AND c.relname ~ '^job(_log|_log_size)?_[0-9]{6}$' AND NOT c.relispartition
    ORDER BY 1
$$;
