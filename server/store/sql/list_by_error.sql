-- One page of ids, newest first: of those whose last error is of the types $14, a page of each and then the newest of these.
-- $1 only below this id, $2 only from this id on, $3 how many at most; the rest restricts where it is not null: $4 bits of
-- statuses (0: any), $5 lanes, $6 owner, $7 source type, $8 source id, $9 batch, $10 labels. Rows: id.
-- The caller's scope: $11 lanes of which it sees only the owner $12's, $13 patterns (LIKE) of the owners of all other jobs.
SELECT t.id
FROM (SELECT DISTINCT unnest($14::text[])) u(error_type)
CROSS JOIN LATERAL (
    SELECT b.id
    FROM joblog.job_state b
    WHERE b.error_type = u.error_type AND b.id < $1::int8 AND b.id >= $2::int8
      AND ($5::int[] IS NULL OR b.lane_id = ANY ($5::int[]))
      AND ($4::int = 0 OR $4::int >> (CASE WHEN b.status = 1 AND EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = b.id) THEN 2
                                           ELSE b.status END) & 1 = 1)
      AND ($6::text IS NULL AND $7::text IS NULL AND $8::text IS NULL AND $9::text IS NULL AND $10::jsonb IS NULL
           AND $11::int[] IS NULL AND $13::text[] IS NULL
           OR EXISTS (
               SELECT FROM joblog.job j
               WHERE j.id = b.id
                 AND ($6::text IS NULL OR j.owner = $6::text)
                 AND ($7::text IS NULL OR j.source_type = $7::text)
                 AND ($8::text IS NULL OR j.source_id = $8::text)
                 AND ($9::text IS NULL OR j.batch = $9::text)
                 AND ($10::jsonb IS NULL OR j.labels @> $10::jsonb)
                 AND ($11::int[] IS NULL OR j.lane_id <> ALL ($11::int[]) OR j.owner = $12::text)
                 AND ($13::text[] IS NULL OR j.lane_id = ANY ($11::int[])
                      OR coalesce(j.owner, '') LIKE ANY ($13::text[]))))
    ORDER BY b.id DESC LIMIT $3::int
) t
ORDER BY t.id DESC LIMIT $3::int
