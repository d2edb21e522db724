-- An attempt begins to write its file.
-- $1 job id, $2 lease token, $3 storage (smallint), $4 name, $5 content type, $6 chunk size (int), $7 owner. One row: how
-- many bytes the owner's other files have (bigint); no row when the lease is not this attempt's.
WITH held AS MATERIALIZED (
    SELECT job_id FROM joblog.lease WHERE job_id = $1::bigint AND token = $2::bigint FOR KEY SHARE
), writing AS (
    INSERT INTO joblog.export_writing (job_id, token, storage, name, content_type, chunk_bytes)
    SELECT job_id, $2::bigint, $3::smallint, $4::text, $5::text, $6::int FROM held
    RETURNING job_id
)
SELECT coalesce((SELECT sum(size) FROM joblog.export_file f
                 WHERE f.owner = $7::text AND f.gone = 0 AND f.expire_time > now() AND f.job_id <> $1::bigint), 0)::bigint
FROM writing
