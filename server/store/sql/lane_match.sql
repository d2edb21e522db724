-- Lanes of any of the job names $1 (null: all) and queues $2 (null: all). Rows: lane_id.
SELECT lane_id FROM joblog.lane
WHERE ($1::text[] IS NULL OR job_name = ANY ($1::text[])) AND ($2::text[] IS NULL OR queue = ANY ($2::text[]))
