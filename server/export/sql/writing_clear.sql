-- Earlier attempts of a job are over: what they wrote counts no more.
-- $1 job id, $2 lease token of the attempt that runs now. No rows. May be repeated.
WITH file AS (
    DELETE FROM joblog.export_file WHERE job_id = $1::bigint AND token <> $2::bigint
)
DELETE FROM joblog.export_writing WHERE job_id = $1::bigint AND token <> $2::bigint
