-- As replica_put, for the row that lies at $7. See minute_set. Row: where it lies now. Fails (22012) when it is not there.
WITH noted AS (
    INSERT INTO joblog.change SELECT $1::int, $2::int8, $4::timestamptz, $5::bytea WHERE $5::bytea IS NOT NULL
), put AS (
    UPDATE joblog.replica SET batch = $2::int8, last_id = $3::int8, seen_time = $4::timestamptz, owed = $6::json
    WHERE ctid = $7::tid AND number = $1::int
    RETURNING ctid
)
SELECT (SELECT ctid FROM put), 1 / (SELECT count(*) FROM put)
