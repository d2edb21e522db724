-- Removes chunks that belong to no file and to no attempt that writes.
-- No parameters. No rows. Attempts mark themselves before their first chunk, so none under way is met. May be repeated.
DELETE FROM joblog.export_chunk c
USING (SELECT DISTINCT job_id, token FROM joblog.export_chunk) o
WHERE c.job_id = o.job_id AND c.token = o.token
  AND NOT EXISTS (SELECT FROM joblog.export_file f WHERE f.job_id = o.job_id AND f.token = o.token AND f.gone = 0)
  AND NOT EXISTS (SELECT FROM joblog.export_writing w WHERE w.job_id = o.job_id AND w.token = o.token)
