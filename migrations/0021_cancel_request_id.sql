-- The request by which somebody asked for a running job's cancel: its end tells of it.
ALTER TABLE joblog.lease ADD COLUMN cancel_request_id text;
