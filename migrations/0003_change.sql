-- What changed lately, for the watchers of other replicas and for those who resume. docs/store.md, "Changes".

CREATE TABLE joblog.change (
    replica int         NOT NULL,
    batch   bigint      NOT NULL,
    time    timestamptz NOT NULL,
    entries bytea       NOT NULL,
    PRIMARY KEY (replica, batch)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.5);
ALTER TABLE joblog.change ALTER COLUMN entries SET STORAGE EXTERNAL;
CREATE INDEX change_time ON joblog.change (time);
COMMENT ON TABLE joblog.change IS 'The changes that each batch made, in the order of a replica''s commits; kept for a quarter of an hour. The rows of the jobs are the truth, this says where to look.';
COMMENT ON COLUMN joblog.change.entries IS '32 bytes each (server/store/change.h): job, revision, time, attempt, status, whether it is a transition.';
