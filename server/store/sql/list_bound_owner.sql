-- The same of the owners $4: behind the newest $3 of any of them.
SELECT b.id
FROM unnest($4::text[]) u(owner) CROSS JOIN LATERAL (
    SELECT j.id FROM joblog.job j
    WHERE j.owner = u.owner AND j.id < $1::int8 AND j.id >= $2::int8 ORDER BY j.id DESC OFFSET $3::int LIMIT 1) b
ORDER BY b.id DESC LIMIT 1
