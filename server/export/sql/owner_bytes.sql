-- How many bytes the files of an owner have, but for those of one job.
-- $1 owner, $2 job id. One row: bytes (bigint).
SELECT coalesce(sum(size), 0)::bigint FROM joblog.export_file
WHERE owner = $1::text AND gone = 0 AND expire_time > now() AND job_id <> $2::bigint
