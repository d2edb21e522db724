-- One chunk of a file, finished or not.
-- $1 job id, $2 lease token of the attempt that wrote it, $3 its number. One row: data,
-- CRC-32C of its bytes (bigint), 0 or how many bytes data unpacks to (int); no row when it is not there.
SELECT data, crc32c, plain_bytes FROM joblog.export_chunk WHERE job_id = $1::bigint AND token = $2::bigint AND seq = $3::int
