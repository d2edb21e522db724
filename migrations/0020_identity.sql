-- Tells this database from others, for what lies outside of it (a directory of exports); it goes along with a dump.
CREATE TABLE joblog.identity (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id     uuid    NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE joblog.identity IS 'One row: what is this database''s own and lies elsewhere names it.';
INSERT INTO joblog.identity DEFAULT VALUES;
