-- Chunks of exports may lie in the database packed.

ALTER TABLE joblog.export_chunk ADD COLUMN plain_bytes int NOT NULL DEFAULT 0 CHECK (plain_bytes >= 0);
COMMENT ON TABLE joblog.export_chunk IS 'Contents of files.';
COMMENT ON COLUMN joblog.export_chunk.plain_bytes IS '0: data is as it is; else it is a Zstandard frame of so many bytes.';
COMMENT ON COLUMN joblog.export_chunk.crc32c IS 'Of the bytes of the file, not of the packed ones.';
