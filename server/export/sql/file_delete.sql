-- Takes away the file of an export because its owner says so.
-- $1 job id. One row: lease token, storage; no row when there was none. May be repeated.
UPDATE joblog.export_file SET gone = 2 WHERE job_id = $1::bigint AND gone = 0 RETURNING token, storage::int
