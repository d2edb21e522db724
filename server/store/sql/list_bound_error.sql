-- The same of jobs whose last error is of the types $4: behind the newest $3 of any of them.
SELECT b.id
FROM unnest($4::text[]) u(error_type) CROSS JOIN LATERAL (
    SELECT t.id FROM joblog.job_state t
    WHERE t.error_type = u.error_type AND t.id < $1::int8 AND t.id >= $2::int8 ORDER BY t.id DESC OFFSET $3::int LIMIT 1) b
ORDER BY b.id DESC LIMIT 1
