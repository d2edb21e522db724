-- Finished files of the jobs $1 that have not expired.
SELECT job_id, name, content_type, sha256, size, rows, expire_time, chunk_bytes
FROM joblog.export_file WHERE job_id = ANY ($1::int8[]) AND expire_time > now()
