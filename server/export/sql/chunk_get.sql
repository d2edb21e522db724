-- One chunk of a file, finished or not.
-- $1 job id, $2 lease token of the attempt that wrote it, $3 its number. One row: data, crc32c; no row when it is not there.
SELECT data, crc32c FROM joblog.export_chunk WHERE job_id = $1::bigint AND token = $2::bigint AND seq = $3::int
