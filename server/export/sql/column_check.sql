-- Looks at a column that an export type names.
-- $1 schema, $2 table or view, $3 column. One row: is it of a text type (int), may this role read it (int), OID of its type
-- or of the type that its domain is made of (bigint), that type's category as a number (int) and kind (int); no row when
-- there is no such column.
SELECT (b.typcategory = 'S')::int, (has_column_privilege(c.oid, a.attnum, 'SELECT'))::int, b.oid::bigint,
       ascii(b.typcategory::text), ascii(b.typtype::text)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attname = $3::text
