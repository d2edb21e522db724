-- Looks at a column that an export type names.
-- $1 schema, $2 table or view, $3 column. One row: is it of a text type (int), may this role read it (int); no row when
-- there is no such column.
SELECT (t.typcategory = 'S')::int, (has_column_privilege(c.oid, a.attnum, 'SELECT'))::int
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attname = $3::text
