-- Marks a batch as committed, in its own transaction: after a lost connection the mark tells whether it was; and notes what it
-- changed. $1 number, $2 batch, $3 largest id given so far, $4 time, $5 changes or null, $6 what is owed to the counters or null.
-- Row: where it lies.
WITH noted AS (
    INSERT INTO joblog.change SELECT $1::int, $2::int8, $4::timestamptz, $5::bytea WHERE $5::bytea IS NOT NULL
)
UPDATE joblog.replica SET batch = $2::int8, last_id = $3::int8, seen_time = $4::timestamptz, owed = $6::json WHERE number = $1::int
RETURNING ctid
