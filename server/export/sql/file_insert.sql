-- Makes the file known, last of what an attempt writes.
-- $1 job id, $2 lease token, $3 name, $4 content type, $5 size, $6 rows, $7 SHA-256 in hex, $8 chunk size (int),
-- $9 expire time, $10 owner, $11 storage (smallint), $12 cells that were cut. One row: 1 when the file was recorded; no
-- row when the lease is no longer this attempt's. Locks the lease against its end until the commit, so that an attempt
-- that was given up cannot replace the file of a later one.
WITH held AS MATERIALIZED (
    SELECT job_id FROM joblog.lease WHERE job_id = $1 AND token = $2 FOR KEY SHARE
)
INSERT INTO joblog.export_file AS f
       (job_id, token, name, content_type, size, rows, sha256, chunk_bytes, expire_time, owner, storage, cut_cells, gone)
SELECT job_id, $2::bigint, $3::text, $4::text, $5::bigint, $6::bigint, $7::text, $8::int, $9::timestamptz, $10::text,
       $11::smallint, $12::bigint, 0 FROM held
ON CONFLICT (job_id) DO UPDATE SET
    token = excluded.token, name = excluded.name, content_type = excluded.content_type, size = excluded.size,
    rows = excluded.rows, sha256 = excluded.sha256, chunk_bytes = excluded.chunk_bytes,
    expire_time = excluded.expire_time, owner = excluded.owner, storage = excluded.storage,
    cut_cells = excluded.cut_cells, gone = 0
RETURNING 1
