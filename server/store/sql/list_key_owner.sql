-- As list_key_all, of the owners $5: of each so many behind so many, and the newest $3 of these.
SELECT b.id
FROM (SELECT DISTINCT unnest($5::text[])) u(owner) CROSS JOIN LATERAL (
    SELECT j.id FROM joblog.job j
    WHERE j.owner = u.owner AND j.id < $1::int8 AND j.id >= $2::int8 ORDER BY j.id DESC OFFSET $4::int LIMIT $3::int) b
ORDER BY b.id DESC LIMIT $3::int
