-- With a job goes when it was to be looked at. docs/retention.md.

CREATE INDEX deadline_job ON joblog.deadline (job_id);

-- Deletes a month that was taken out and all that belongs to its jobs, in one transaction. Nobody else uses those rows; but when a
-- job of it was put back to work at the last moment the month is put back as well. Returns how many jobs were deleted;
-- -1: it was put back.
CREATE OR REPLACE FUNCTION joblog.forget_month(month text) RETURNS bigint
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
    DELETE FROM joblog.deadline WHERE job_id >= lo AND job_id < hi;
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
