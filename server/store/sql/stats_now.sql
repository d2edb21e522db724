-- Jobs by lane and status. $1 job names, $2 queues and $3 lanes (null: all). Rows: queue, job_name, status, n, lane_id; sorted by
-- name. The counters are read once and added up before their lanes are looked up, one by one.
WITH t AS MATERIALIZED (
    SELECT x.lane_id, x.status, sum(x.n)::int8 AS n
    FROM (SELECT y.lane_id, y.status, y.n FROM joblog.tally_now y
          UNION ALL SELECT r.lane_id, 1, 1 FROM joblog.arrival r) x
    GROUP BY x.lane_id, x.status
)
SELECT a.queue, a.job_name, t.status, t.n, t.lane_id
FROM t CROSS JOIN LATERAL (SELECT l.queue, l.job_name FROM joblog.lane l WHERE l.lane_id = t.lane_id OFFSET 0) a
WHERE ($1::text[] IS NULL OR a.job_name = ANY ($1::text[])) AND ($2::text[] IS NULL OR a.queue = ANY ($2::text[]))
  AND ($3::int[] IS NULL OR t.lane_id = ANY ($3::int[]))
ORDER BY a.job_name COLLATE "C", a.queue COLLATE "C", t.lane_id, t.status
