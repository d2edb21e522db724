-- Sessions of replica $1 that somebody asked to drain. Rows: session_id.
SELECT session_id FROM joblog.session WHERE replica = $1::int AND drain_time IS NOT NULL
