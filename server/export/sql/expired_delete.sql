-- Removes one file that has expired, with its chunks.
-- $1 now. One row: its job id; no row when there is none (or others are at it). Skips files that another replica is
-- removing. May be repeated.
WITH file AS (
    DELETE FROM joblog.export_file
    WHERE job_id = (SELECT job_id FROM joblog.export_file
                    WHERE expire_time <= $1 ORDER BY expire_time LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING job_id
), chunks AS (
    DELETE FROM joblog.export_chunk WHERE job_id IN (SELECT job_id FROM file)
)
SELECT job_id FROM file
