-- Removes what one attempt of an export wrote: the file, if it was recorded, and its chunks. Not when that attempt has
-- completed the job: its end may have been recorded although the worker did not hear of it.
-- $1 job id, $2 lease token. No rows. May be repeated.
WITH completed AS MATERIALIZED (
    SELECT FROM joblog.job_state WHERE id = $1 AND last_token = $2 AND status = 3
), file AS (
    DELETE FROM joblog.export_file WHERE job_id = $1 AND token = $2 AND NOT EXISTS (SELECT FROM completed)
)
DELETE FROM joblog.export_chunk WHERE job_id = $1 AND token = $2 AND NOT EXISTS (SELECT FROM completed)
