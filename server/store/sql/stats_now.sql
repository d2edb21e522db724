-- Jobs by lane and status. $1 job names, $2 queues and $3 lanes (null: all). Rows: queue, job_name, status, n, lane_id; sorted by
-- name.
SELECT a.queue, a.job_name, t.status, sum(t.n)::int8, a.lane_id
FROM joblog.lane a
JOIN (SELECT y.lane_id, y.status, y.n FROM joblog.tally y
      UNION ALL SELECT r.lane_id, 1, 1 FROM joblog.arrival r) t USING (lane_id)
WHERE ($1::text[] IS NULL OR a.job_name = ANY ($1::text[])) AND ($2::text[] IS NULL OR a.queue = ANY ($2::text[]))
  AND ($3::int[] IS NULL OR a.lane_id = ANY ($3::int[]))
GROUP BY a.queue, a.job_name, t.status, a.lane_id
ORDER BY a.job_name COLLATE "C", a.queue COLLATE "C", t.status
