-- Ends a former connection of ours, by its backend's process id $1, if it is still there. Safe to repeat.
SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity
WHERE pid = $1::int AND pid <> pg_backend_pid() AND usename = current_user
