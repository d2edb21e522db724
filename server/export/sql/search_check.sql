-- Is there such a text search configuration?
-- $1 name, with or without a schema. One row: 0 or 1 (int).
SELECT (found.oid IS NOT NULL)::int
FROM (SELECT (SELECT c.oid FROM pg_catalog.pg_ts_config c JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace
              WHERE (c.cfgname = $1::text AND pg_catalog.pg_ts_config_is_visible(c.oid))
                 OR n.nspname || '.' || c.cfgname = $1::text LIMIT 1) AS oid) found
