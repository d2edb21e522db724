-- As minute_put, for rows that this replica wrote before: $12 where they lie, $15 how many. Without a look at the index, which while
-- an old snapshot is held has an entry for each page of their dead versions; without the + the plan would go by it. Rows: lane_id,
-- where it lies now. Fails (22012) when one is not there.
WITH put AS (
    UPDATE joblog.minute m
    SET dispatched = u.dispatched, completed = u.completed, failed = u.failed, cancelled = u.cancelled, retried = u.retried,
        n_runs = u.n_runs, run_us_sum = u.run_us_sum, wait_us_sum = u.wait_us_sum,
        run_hist = u.run_hist::int[], wait_hist = u.wait_hist::int[]
    FROM (SELECT unnest($1::int[]) AS lane_id, unnest($2::int8[]) AS dispatched, unnest($3::int8[]) AS completed,
                 unnest($4::int8[]) AS failed, unnest($5::int8[]) AS cancelled, unnest($6::int8[]) AS retried,
                 unnest($7::int8[]) AS n_runs, unnest($8::int8[]) AS run_us_sum, unnest($9::int8[]) AS wait_us_sum,
                 unnest($10::text[]) AS run_hist, unnest($11::text[]) AS wait_hist, unnest($12::tid[]) AS place) u
    WHERE m.ctid = u.place AND m.lane_id = u.lane_id AND m.minute + interval '0' = $14::timestamptz AND m.replica + 0 = $13::int
    RETURNING m.lane_id, m.ctid
)
SELECT lane_id, ctid FROM put
UNION ALL
SELECT NULL, NULL WHERE 1 / ((SELECT count(*) FROM put) = $15::int)::int = 0
