-- One page of ids, newest first: of the lanes $5, all their jobs of the range, which holds few. As a bitmap
-- (list_by_owner.sql).
-- $1 only below this id, $2 only from this id on, $3 how many at most; the rest restricts where it is not null: $4 bits of
-- statuses (0: any), $5 lanes, $6 owner, $7 source type, $8 source id, $9 batch, $10 labels. Rows: id.
-- The caller's scope: $11 lanes of which it sees only the owner $12's, found by the owner, since they may be few among many;
-- $13 patterns (LIKE) of the owners of all other jobs.
SELECT t.id FROM (
    SELECT j.id
    FROM joblog.job j
    WHERE ((j.lane_id = ANY ($5::int[]) AND j.id < $1::int8 AND j.id >= $2::int8) OR j.id = -1)
          AND ($11::int[] IS NULL OR j.lane_id <> ALL ($11::int[]))
          AND ($13::text[] IS NULL OR coalesce(j.owner, '') LIKE ANY ($13::text[]))
          AND ($6::text IS NULL OR j.owner = $6::text)
          AND ($7::text IS NULL OR j.source_type = $7::text)
          AND ($8::text IS NULL OR j.source_id = $8::text)
          AND ($9::text IS NULL OR j.batch = $9::text)
          AND ($10::jsonb IS NULL OR j.labels @> $10::jsonb)
          AND ($4::int = 0 OR $4::int >> (CASE WHEN EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = j.id) THEN 2
                           ELSE coalesce((SELECT t.status FROM joblog.job_state t WHERE t.id = j.id), 1) END) & 1 = 1)
    UNION ALL
    (SELECT j.id
     FROM joblog.job j
     WHERE $11::int[] IS NOT NULL AND j.owner = $12::text AND j.id < $1::int8 AND j.id >= $2::int8
          AND j.lane_id = ANY ($11::int[]) AND j.lane_id = ANY ($5::int[])
          AND ($6::text IS NULL OR j.owner = $6::text)
          AND ($7::text IS NULL OR j.source_type = $7::text)
          AND ($8::text IS NULL OR j.source_id = $8::text)
          AND ($9::text IS NULL OR j.batch = $9::text)
          AND ($10::jsonb IS NULL OR j.labels @> $10::jsonb)
          AND ($4::int = 0 OR $4::int >> (CASE WHEN EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = j.id) THEN 2
                           ELSE coalesce((SELECT t.status FROM joblog.job_state t WHERE t.id = j.id), 1) END) & 1 = 1)
     ORDER BY j.id DESC LIMIT $3::int)
) t
ORDER BY t.id DESC LIMIT $3::int
