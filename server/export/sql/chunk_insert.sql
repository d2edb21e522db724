-- Adds one chunk of the file that an attempt writes.
-- $1 job id, $2 lease token, $3 number of the chunk (int), $4 its bytes, perhaps packed, $5 CRC-32C of the bytes as
-- they are in the file (bigint), $6 0 or how many those are, when $4 is packed (int). One row: 1 when it was added; no row when the attempt is over and what it wrote has been swept. Locks the attempt's row against that until
-- the commit. A repetition fails on the key.
WITH writing AS MATERIALIZED (
    SELECT job_id FROM joblog.export_writing WHERE job_id = $1::bigint AND token = $2::bigint FOR KEY SHARE
)
INSERT INTO joblog.export_chunk (job_id, token, seq, data, crc32c, plain_bytes)
SELECT job_id, $2::bigint, $3::int, $4::bytea, $5::bigint, $6::int FROM writing
RETURNING 1
