-- Of the ids $1 those whose jobs fit, in the order of $1. What is null does not restrict: $2 types of the last error, $3 a text
-- within its message, start from $4, start before $5, end from $6, end before $7; payload at the paths $8 (keys and subscripts, dots
-- between): equal to $9 or containing $10, each as text; where both are null any value but null. Rows: id.
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
  AND (cardinality($8::text[]) = 0 OR EXISTS (
      SELECT FROM joblog.job j
      WHERE j.id = u.id AND NOT EXISTS (
          SELECT FROM unnest($8::text[], $9::text[], $10::text[]) m(path, equals, contains)
          CROSS JOIN LATERAL (SELECT j.payload #>> string_to_array(m.path, '.') AS value) v
          WHERE NOT coalesce(CASE WHEN m.equals IS NOT NULL THEN v.value = m.equals
                                  WHEN m.contains IS NOT NULL THEN position(m.contains IN v.value) > 0
                                  ELSE v.value IS NOT NULL END, false))))
ORDER BY u.n
