-- The same of the batch $4.
SELECT j.id FROM joblog.job j
WHERE j.batch = $4::text AND j.id < $1::int8 AND j.id >= $2::int8 ORDER BY j.id DESC OFFSET $3::int LIMIT 1
