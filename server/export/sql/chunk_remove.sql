-- Removes some of the chunks that one attempt wrote: a part at a time, so that a big file is no long transaction.
-- $1 job id, $2 its lease token, $3 how many at most (int). One row: how many there were (int). May be repeated.
WITH part AS MATERIALIZED (
    SELECT seq FROM joblog.export_chunk WHERE job_id = $1::bigint AND token = $2::bigint ORDER BY seq LIMIT $3::int
), gone AS (
    DELETE FROM joblog.export_chunk
    WHERE job_id = $1::bigint AND token = $2::bigint AND seq = ANY (ARRAY (SELECT seq FROM part))
)
SELECT count(*)::int FROM part
