-- Deletes changes older than $1, at most 5000. Row: how many. Passes over what another replica is deleting; safe to repeat.
WITH old AS MATERIALIZED (
    SELECT c.ctid AS place FROM joblog.change c WHERE c.time < $1::timestamptz LIMIT 5000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.change c USING old o WHERE c.ctid = o.place RETURNING 1
)
SELECT count(*) FROM gone
