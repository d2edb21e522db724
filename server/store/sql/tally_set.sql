-- As tally_put, for rows that this replica wrote before: $5 where they lie, $6 how many. See minute_set. Rows: lane_id, status,
-- where it lies now. Fails (22012) when one is not there. Without the + 0 the plan would go by the index after all.
WITH put AS (
    UPDATE joblog.tally t SET n = u.n
    FROM (SELECT unnest($2::int[]) AS lane_id, unnest($3::int2[]) AS status, unnest($4::int8[]) AS n, unnest($5::tid[]) AS place) u
    WHERE t.ctid = u.place AND t.lane_id = u.lane_id AND t.status = u.status AND t.replica + 0 = $1::int
    RETURNING t.lane_id, t.status, t.ctid
)
SELECT lane_id, status, ctid FROM put
UNION ALL
SELECT NULL, NULL, NULL WHERE 1 / ((SELECT count(*) FROM put) = $6::int)::int = 0
