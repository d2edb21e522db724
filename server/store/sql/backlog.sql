-- Which of the lanes $1 have jobs waiting. Rows: lane_id.
SELECT u.lane_id FROM unnest($1::int[]) u(lane_id)
WHERE EXISTS (SELECT FROM joblog.waiting w WHERE w.lane_id = u.lane_id)
