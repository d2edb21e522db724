-- Deletes the changes of replica $1 before batch $2, from $3 on, that are older than $4: so many followed that no resume point may
-- reach back to them. At most 1000. Row: how many, and the last of them. Safe to repeat.
WITH old AS MATERIALIZED (
    SELECT c.ctid AS place FROM joblog.change c
    WHERE c.replica = $1::int AND c.batch >= $3::int8 AND c.batch < $2::int8 AND c.time < $4::timestamptz
    ORDER BY c.batch LIMIT 1000
), gone AS (
    DELETE FROM joblog.change c USING old o WHERE c.ctid = o.place RETURNING c.batch
)
SELECT count(*), coalesce(max(batch), 0) FROM gone
