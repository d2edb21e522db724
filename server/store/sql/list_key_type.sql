-- As list_key_all, of the source type $5, when no more than $6 jobs have it: their ids lie in the index by object, and are read and
-- put in order. When more do, nothing is, and the one row is 0.
WITH few AS MATERIALIZED (
    SELECT j.id FROM joblog.job j WHERE j.source_type = $5::text LIMIT $6::int + 1
), known AS (
    SELECT count(*) > $6::int AS too_many FROM few
), page AS (
    SELECT f.id FROM few f
    WHERE f.id < $1::int8 AND f.id >= $2::int8 AND NOT (SELECT too_many FROM known)
    ORDER BY f.id DESC OFFSET $4::int LIMIT $3::int
)
SELECT p.id FROM (SELECT id FROM page UNION ALL SELECT 0 WHERE (SELECT too_many FROM known)) p ORDER BY p.id DESC
