-- Sessions of replica $1 that somebody asked to drain, or whose worker is paused. Rows: session_id, 1 if it
-- drains, 1 if it is paused.
SELECT s.session_id, (s.drain_time IS NOT NULL)::int, (p.worker IS NOT NULL)::int
FROM joblog.session s
LEFT JOIN joblog.worker_pause p ON p.worker = s.worker AND p.host = coalesce(s.host, '') AND p.pid = s.pid
WHERE s.replica = $1::int AND (s.drain_time IS NOT NULL OR p.worker IS NOT NULL)
