-- Of the ids $1 those whose payload fits, in the order of $1: at the paths $2 (keys and subscripts, dots between) equal to $3 or
-- containing $4, each as text; where both are null any value but null. Rows: id.
SELECT u.id
FROM unnest($1::int8[]) WITH ORDINALITY u(id, n)
JOIN joblog.job j ON j.id = u.id
WHERE NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[], $4::text[]) m(path, equals, contains)
    CROSS JOIN LATERAL (SELECT j.payload #>> string_to_array(m.path, '.') AS value) v
    WHERE NOT coalesce(CASE WHEN m.equals IS NOT NULL THEN v.value = m.equals
                            WHEN m.contains IS NOT NULL THEN position(m.contains IN v.value) > 0
                            ELSE v.value IS NOT NULL END, false))
ORDER BY u.n
