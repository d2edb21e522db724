-- Deletes counters of minutes before $1 that have been summed up, at most 5000. Row: how many. Passes over what another replica
-- is deleting; safe to repeat.
WITH old AS MATERIALIZED (
    SELECT m.ctid AS place FROM joblog.minute m
    WHERE m.minute < least($1::timestamptz, (SELECT until FROM joblog.rollup_mark WHERE span = 1))
    ORDER BY m.minute LIMIT 5000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM joblog.minute m USING old o WHERE m.ctid = o.place RETURNING 1
)
SELECT count(*)::int FROM gone
