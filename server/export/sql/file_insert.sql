-- Makes the file known, last of what an attempt writes.
-- $1 job id, $2 lease token, $3 name, $4 content type, $5 size, $6 rows, $7 SHA-256 in hex, $8 chunk size (int),
-- $9 expire time, $10 owner, $11 storage (smallint), $12 cells that were cut, $13 how many bytes all files of the owner may
-- have, 0: no limit. One row: 1 when the file was recorded; 0 when the lease is no longer this attempt's; 2 when the owner's
-- files would be too large; 3 when chunks of it are not in the database: then nothing was changed. Locks the lease against its
-- end until the commit, so that an attempt that was given up cannot replace the file of a later one. After owner_lock of the
-- same transaction, as a statement of its own: it must see what the one before in the lock has committed. The commit is on
-- disk when it is answered, and all chunks with it: a job must not be completed whose file a crash takes back.
WITH held AS MATERIALIZED (
    SELECT job_id FROM joblog.lease WHERE job_id = $1 AND token = $2 FOR KEY SHARE
), verdict AS MATERIALIZED (
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM held) THEN 0
        WHEN $13::bigint > 0
         AND $5::bigint + (SELECT coalesce(sum(f.size), 0) FROM joblog.export_file f
                           WHERE f.owner = $10::text AND f.gone = 0 AND f.expire_time > now() AND f.job_id <> $1) > $13::bigint
        THEN 2
        WHEN $11::smallint = 0
         AND (SELECT count(*) FROM joblog.export_chunk c WHERE c.job_id = $1 AND c.token = $2::bigint)
             <> ($5::bigint + $8::int - 1) / $8::int
        THEN 3
        ELSE 1 END AS v
), file AS (
    INSERT INTO joblog.export_file AS f
           (job_id, token, name, content_type, size, rows, sha256, chunk_bytes, expire_time, owner, storage, cut_cells, gone)
    SELECT $1, $2::bigint, $3::text, $4::text, $5::bigint, $6::bigint, $7::text, $8::int, $9::timestamptz, $10::text,
           $11::smallint, $12::bigint, 0 FROM verdict WHERE v = 1
    ON CONFLICT (job_id) DO UPDATE SET
        token = excluded.token, name = excluded.name, content_type = excluded.content_type, size = excluded.size,
        rows = excluded.rows, sha256 = excluded.sha256, chunk_bytes = excluded.chunk_bytes,
        expire_time = excluded.expire_time, owner = excluded.owner, storage = excluded.storage,
        cut_cells = excluded.cut_cells, gone = 0
), writing AS (
    DELETE FROM joblog.export_writing WHERE job_id = $1 AND token = $2::bigint AND EXISTS (SELECT FROM verdict WHERE v = 1)
)
SELECT v, set_config('synchronous_commit', 'on', true) FROM verdict
