-- Adds one chunk of the file that an attempt writes.
-- $1 job id, $2 lease token, $3 number of the chunk (int), $4 its bytes, $5 CRC-32C of them (bigint). No rows.
-- Part of one transaction for the whole file; a repetition fails on the key.
INSERT INTO joblog.export_chunk (job_id, token, seq, data, crc32c)
VALUES ($1, $2, $3, $4, $5)
