-- Removes what one attempt of an export wrote: the file, if it was recorded, and its chunks.
-- $1 job id, $2 lease token. No rows. May be repeated.
WITH file AS (
    DELETE FROM joblog.export_file WHERE job_id = $1 AND token = $2
)
DELETE FROM joblog.export_chunk WHERE job_id = $1 AND token = $2
