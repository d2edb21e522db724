-- Exports: files in the making, files that are gone, files outside of the database; the history of the
-- jobs as something to export.

-- ---- files ----

ALTER TABLE joblog.export_file
    ADD COLUMN owner     text     NOT NULL DEFAULT '',
    ADD COLUMN storage   smallint NOT NULL DEFAULT 0 CHECK (storage IN (0, 1)),
    ADD COLUMN cut_cells bigint   NOT NULL DEFAULT 0,
    ADD COLUMN gone      smallint NOT NULL DEFAULT 0 CHECK (gone BETWEEN 0 AND 2);
COMMENT ON COLUMN joblog.export_file.storage IS '0: chunks in joblog.export_chunk, 1: a file in the directory of --export-directory.';
COMMENT ON COLUMN joblog.export_file.gone IS '0: the file is there, 1: it has expired, 2: it was deleted. The row stays for a while to tell.';
CREATE INDEX export_file_owner ON joblog.export_file (owner) WHERE gone = 0;
CREATE INDEX export_file_expire ON joblog.export_file (expire_time);

CREATE TABLE joblog.export_writing (
    job_id       bigint      NOT NULL,
    token        bigint      NOT NULL,
    storage      smallint    NOT NULL,
    name         text        NOT NULL,
    content_type text        NOT NULL,
    chunk_bytes  int         NOT NULL,
    start_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, token)
);
COMMENT ON TABLE joblog.export_writing IS 'Files in the making, one an attempt. Without a lease of the same token the attempt is over, and what it wrote is swept.';

-- ---- the history of the jobs ----

CREATE VIEW joblog.job_history AS
SELECT n.id, n.job_name, n.queue, l.name AS status, n.priority, n.source_type, n.source_id, n.owner, n.creator, n.batch,
       n.request_id, n.attempt, n.max_attempts, n.worker, n.create_time, n.run_time, n.start_time, n.end_time,
       round(extract(epoch FROM n.end_time - n.start_time), 6) AS seconds,
       n.percent, n.done, n.total, n.unit, n.step, n.error_type, n.error_message, n.error_stack, n.labels, n.payload, n.result
FROM joblog.job_now n JOIN joblog.status_look l USING (status);
COMMENT ON VIEW joblog.job_history IS 'Jobs for people and spreadsheets: the export type "jobs".';
