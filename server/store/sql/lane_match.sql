-- Lanes of any of the job names $1 (null: all) and queues $2 (null: all), within the patterns (LIKE) of job names $3 and of
-- queues $4 (null: all); those of the server's own are in no pattern and always within. $5 only those of the server's own.
-- Rows: lane_id, is_reserved.
SELECT lane_id, (queue LIKE 'joblog.%')::int4 FROM joblog.lane
WHERE ($1::text[] IS NULL OR job_name = ANY ($1::text[])) AND ($2::text[] IS NULL OR queue = ANY ($2::text[]))
  AND (queue LIKE 'joblog.%' OR (NOT $5::int4 = 1 AND ($3::text[] IS NULL OR job_name LIKE ANY ($3::text[]))
                                 AND ($4::text[] IS NULL OR queue LIKE ANY ($4::text[]))))
