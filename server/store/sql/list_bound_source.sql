-- The same of the object $5 of the source type $4.
SELECT j.id FROM joblog.job j
WHERE j.source_type = $4::text AND j.source_id = $5::text AND j.id < $1::int8 AND j.id >= $2::int8
ORDER BY j.id DESC OFFSET $3::int LIMIT 1
