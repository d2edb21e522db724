-- As list_key_all, of the object $6 of the source type $5.
SELECT j.id FROM joblog.job j
WHERE j.source_type = $5::text AND j.source_id = $6::text AND j.id < $1::int8 AND j.id >= $2::int8
ORDER BY j.id DESC OFFSET $4::int LIMIT $3::int
