-- Lanes that are newer than $1. Rows: lane_id, queue, job_name.
SELECT lane_id, queue, job_name FROM joblog.lane WHERE lane_id > $1::int ORDER BY lane_id
