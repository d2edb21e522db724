-- An attempt does not write any more.
-- $1 job id, $2 lease token. No rows. May be repeated.
DELETE FROM joblog.export_writing WHERE job_id = $1::bigint AND token = $2::bigint
