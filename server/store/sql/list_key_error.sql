-- As list_key_all, of jobs whose last error is of the types $5: of each so many behind so many, and the newest $3 of these.
SELECT b.id
FROM (SELECT DISTINCT unnest($5::text[])) u(error_type) CROSS JOIN LATERAL (
    SELECT t.id FROM joblog.job_state t
    WHERE t.error_type = u.error_type AND t.id < $1::int8 AND t.id >= $2::int8
    ORDER BY t.id DESC OFFSET $4::int LIMIT $3::int) b
ORDER BY b.id DESC LIMIT $3::int
