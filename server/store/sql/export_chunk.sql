-- Chunk $2 of the finished file of job $1. Row: data, crc32c.
SELECT c.data, c.crc32c
FROM joblog.export_file f JOIN joblog.export_chunk c ON c.job_id = f.job_id AND c.token = f.token
WHERE f.job_id = $1::int8 AND c.seq = $2::int AND f.expire_time > now()
