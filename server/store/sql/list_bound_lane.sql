-- The same of the lanes $4: behind the newest $3 of any of them.
SELECT b.id
FROM unnest($4::int[]) u(lane_id) CROSS JOIN LATERAL (
    SELECT j.id FROM joblog.job j
    WHERE j.lane_id = u.lane_id AND j.id < $1::int8 AND j.id >= $2::int8 ORDER BY j.id DESC OFFSET $3::int LIMIT 1) b
ORDER BY b.id DESC LIMIT 1
