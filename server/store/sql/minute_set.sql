-- As minute_put, for a row that this replica wrote before and that lies at $14: without a look at the index, which while an old
-- snapshot is held has an entry for each page of its dead versions. Row: where it lies now. Fails (22012) when it is not there.
WITH put AS (
    UPDATE joblog.minute
    SET dispatched = $4::int8, completed = $5::int8, failed = $6::int8, cancelled = $7::int8, retried = $8::int8,
        n_runs = $9::int8, run_us_sum = $10::int8, wait_us_sum = $11::int8, run_hist = $12::int[], wait_hist = $13::int[]
    WHERE ctid = $14::tid AND minute = $2::timestamptz AND lane_id = $3::int AND replica = $1::int
    RETURNING ctid
)
SELECT (SELECT ctid FROM put), 1 / (SELECT count(*) FROM put)
