-- Files of jobs: finished ones, those that are gone, and those that are being written; of one job the latter last.
-- $1 job ids. Rows: job id, name, content type, sha256, size, rows, expire time, chunk size, token, storage, cut cells,
-- state (int): 0 there, 1 expired, 2 deleted, 3 being written; names of its columns (JSON, as the job's result has them).
SELECT job_id, name, content_type, sha256, size, rows, expire_time, chunk_bytes, token, storage::int, cut_cells,
       CASE WHEN gone = 0 AND expire_time <= now() THEN 1 ELSE gone::int END,
       (SELECT (s.result -> 'columns')::text FROM joblog.job_state s WHERE s.id = job_id)
FROM joblog.export_file WHERE job_id = ANY ($1::bigint[])
UNION ALL
SELECT w.job_id, w.name, w.content_type, '', 0, 0, NULL, w.chunk_bytes, w.token, w.storage::int, 0, 3, NULL
FROM joblog.export_writing w JOIN joblog.lease l ON l.job_id = w.job_id AND l.token = w.token
WHERE w.job_id = ANY ($1::bigint[])
ORDER BY 1, 12
