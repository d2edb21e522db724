-- Removes the marks of attempts that are over: their lease is gone, or another's.
-- No parameters. Rows: job id, lease token, storage of those removed. May be repeated.
DELETE FROM joblog.export_writing w
WHERE NOT EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = w.job_id AND l.token = w.token)
RETURNING job_id, token, storage::int
