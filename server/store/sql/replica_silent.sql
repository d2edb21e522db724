-- Ends the transactions that other replicas than number $1 have left open: the connection that holds the number's lock
-- (replica_lock) has waited for its client for 5 seconds in the middle of a batch. Rows: number, 1. Safe to repeat.
WITH silent AS MATERIALIZED (
    SELECT l.objid, a.pid
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid AND a.usename = current_user AND a.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = 19021 AND l.objsubid = 2 AND l.objid <> $1::int::oid
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.state <> 'idle' AND a.wait_event_type = 'Client'
      AND a.query_start < clock_timestamp() - interval '5 seconds'
)
SELECT objid::int, pg_terminate_backend(pid)::int FROM silent
