-- Is there such a relation?
-- $1 schema, $2 table or view. One row: how many there are, 0 or 1 (bigint).
SELECT count(*)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
