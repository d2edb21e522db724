-- Finds attempts whose chunks belong to no file and to no attempt that writes; chunk_remove takes them away.
-- $1 how many at most (int). Rows: job id, lease token. Attempts mark themselves before their first chunk, and never again
-- after their mark has gone, so none of these has any use for them, now or later. May be repeated.
SELECT o.job_id, o.token FROM (SELECT DISTINCT job_id, token FROM joblog.export_chunk) o
WHERE NOT EXISTS (SELECT FROM joblog.export_file f WHERE f.job_id = o.job_id AND f.token = o.token AND f.gone = 0)
  AND NOT EXISTS (SELECT FROM joblog.export_writing w WHERE w.job_id = o.job_id AND w.token = o.token)
LIMIT $1::int
