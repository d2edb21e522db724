-- What the list of workers tells of them, and who was told to drain.

ALTER TABLE joblog.session
    ADD COLUMN queues       jsonb,
    ADD COLUMN job_names    jsonb,
    ADD COLUMN credit       int,
    ADD COLUMN drain_time   timestamptz,
    ADD COLUMN drain_actor  text,
    ADD COLUMN drain_reason text;
COMMENT ON COLUMN joblog.session.credit IS 'What it could still take when expire_time was written.';
COMMENT ON COLUMN joblog.session.drain_time IS 'When somebody asked it to drain.';
