-- Of the ids $1 those whose jobs stand as asked for, in the order of $1. What is null does not restrict: $2 types of the last error, $3
-- a text within its message, start from $4, start before $5, end from $6, end before $7; $8 bits of statuses (0: any). Rows: id.
SELECT u.id
FROM unnest($1::int8[]) WITH ORDINALITY u(id, n)
LEFT JOIN joblog.job_state t ON t.id = u.id
LEFT JOIN joblog.lease l ON l.job_id = u.id
WHERE ($2::text[] IS NULL OR t.error_type = ANY ($2::text[]))
  AND ($3::text IS NULL OR position($3::text IN t.error_message) > 0)
  AND ($4::timestamptz IS NULL OR coalesce(l.start_time, t.start_time) >= $4::timestamptz)
  AND ($5::timestamptz IS NULL OR coalesce(l.start_time, t.start_time) < $5::timestamptz)
  AND ($6::timestamptz IS NULL OR (l.job_id IS NULL AND t.end_time >= $6::timestamptz))
  AND ($7::timestamptz IS NULL OR (l.job_id IS NULL AND t.end_time < $7::timestamptz))
  AND ($8::int = 0 OR $8::int >> (CASE WHEN l.job_id IS NOT NULL THEN 2 ELSE coalesce(t.status, 1) END) & 1 = 1)
ORDER BY u.n
