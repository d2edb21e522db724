-- Takes back the file that one attempt of an export recorded, if it did. Not when that attempt has completed the job: its
-- end may have been recorded although the worker did not hear of it.
-- $1 job id, $2 lease token. One row: 1 when the attempt has not completed the job, so that its chunks may go; else no row.
-- May be repeated.
WITH open AS MATERIALIZED (
    SELECT WHERE NOT EXISTS (SELECT FROM joblog.job_state WHERE id = $1::bigint AND last_token = $2::bigint AND status = 3)
), file AS (
    DELETE FROM joblog.export_file WHERE job_id = $1::bigint AND token = $2::bigint AND EXISTS (SELECT FROM open)
)
SELECT 1 FROM open
