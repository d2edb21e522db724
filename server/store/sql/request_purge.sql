-- Deletes request ids older than $1, at most 5000. Row: how many. Safe to repeat.
WITH old AS (
    SELECT request_id FROM joblog.request WHERE create_time < $1::timestamptz LIMIT 5000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.request r USING old WHERE r.request_id = old.request_id RETURNING 1
)
SELECT count(*) FROM gone
