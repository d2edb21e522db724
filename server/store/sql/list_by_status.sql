-- Ids, newest first, for some statuses: each from the place where such jobs are found. Completed ones are found by walking the
-- states from the newest on, which passes over all that have not been started; the same walk then gives the failed and the cancelled.
-- $1 only below this id, $2 only from this id on, $3 how many at most, $4 bits of statuses; the rest restricts where it is not null: $5
-- lanes, $6 owner, $7 source type, $8 source id, $9 batch, $10 labels. The caller's scope: $11 lanes of which it sees only the owner
-- $12's, $13 patterns (LIKE) of the owners of all other jobs.
-- Of each place the newest $14 are looked at. Rows: id; is_last: no more of its place were looked at, so that below this id the
-- answer is not whole; fits (only is_last rows may not fit).
-- Of waiting jobs each lane and priority is a place, found by probes of the key; of up to 100 lanes the failed and the cancelled are
-- looked up lane by lane.
WITH RECURSIVE line(lane_id, neg_priority) AS (
    (SELECT w.lane_id, w.neg_priority FROM joblog.waiting w WHERE $4::int & 2 <> 0
     ORDER BY w.lane_id, w.neg_priority LIMIT 1)
    UNION ALL
    SELECT n.lane_id, n.neg_priority
    FROM line l CROSS JOIN LATERAL (
        SELECT w.lane_id, w.neg_priority FROM joblog.waiting w
        WHERE (w.lane_id, w.neg_priority) > (l.lane_id, l.neg_priority)
        ORDER BY w.lane_id, w.neg_priority LIMIT 1) n
), found AS (
    SELECT p.id, l.lane_id, p.at = $14::int AS is_last, true AS fits
    FROM line l CROSS JOIN LATERAL (
        SELECT w.id, row_number() OVER (ORDER BY w.id DESC) AS at FROM joblog.waiting w
        WHERE w.lane_id = l.lane_id AND w.neg_priority = l.neg_priority AND w.id < $1::int8 AND w.id >= $2::int8
        ORDER BY w.id DESC LIMIT $14::int) p
    WHERE $5::int[] IS NULL OR l.lane_id = ANY ($5::int[])
    UNION ALL
    (SELECT s.id, s.lane_id, row_number() OVER (ORDER BY s.id DESC) = $14::int, true FROM joblog.scheduled s
     WHERE $4::int & 2 <> 0 AND s.id < $1::int8 AND s.id >= $2::int8 ORDER BY s.id DESC LIMIT $14::int)
    UNION ALL
    (SELECT r.id, r.lane_id, row_number() OVER (ORDER BY r.id DESC) = $14::int, true FROM joblog.arrival r
     WHERE $4::int & 2 <> 0 AND r.id < $1::int8 AND r.id >= $2::int8 ORDER BY r.id DESC LIMIT $14::int)
    UNION ALL
    (SELECT l.job_id, l.lane_id, row_number() OVER (ORDER BY l.job_id DESC) = $14::int, true FROM joblog.lease l
     WHERE $4::int & 4 <> 0 AND l.job_id < $1::int8 AND l.job_id >= $2::int8 ORDER BY l.job_id DESC LIMIT $14::int)
    UNION ALL
    (SELECT b.id, b.lane_id, row_number() OVER (ORDER BY b.id DESC) = $14::int, b.status > 2 AND $4::int >> b.status & 1 = 1
     FROM joblog.job_state b
     WHERE $4::int & 8 <> 0 AND b.id < $1::int8 AND b.id >= $2::int8 ORDER BY b.id DESC LIMIT $14::int)
    UNION ALL
    (SELECT b.id, b.lane_id, row_number() OVER (ORDER BY b.id DESC) = $14::int, true FROM joblog.job_state b
     WHERE $4::int & 24 = 16 AND ($5::int[] IS NULL OR cardinality($5::int[]) > 100)
       AND b.status = 4 AND b.id < $1::int8 AND b.id >= $2::int8 ORDER BY b.id DESC LIMIT $14::int)
    UNION ALL
    (SELECT b.id, b.lane_id, row_number() OVER (ORDER BY b.id DESC) = $14::int, true FROM joblog.job_state b
     WHERE $4::int & 40 = 32 AND ($5::int[] IS NULL OR cardinality($5::int[]) > 100)
       AND b.status = 5 AND b.id < $1::int8 AND b.id >= $2::int8 ORDER BY b.id DESC LIMIT $14::int)
    UNION ALL
    SELECT p.id, u.lane_id, p.at = $14::int, true
    FROM unnest($5::int[]) u(lane_id) CROSS JOIN LATERAL (
        SELECT b.id, row_number() OVER (ORDER BY b.id DESC) AS at FROM joblog.job_state b
        WHERE $4::int & 24 = 16 AND cardinality($5::int[]) <= 100
          AND b.lane_id = u.lane_id AND b.status = 4 AND b.id < $1::int8 AND b.id >= $2::int8
        ORDER BY b.id DESC LIMIT $14::int) p
    UNION ALL
    SELECT p.id, u.lane_id, p.at = $14::int, true
    FROM unnest($5::int[]) u(lane_id) CROSS JOIN LATERAL (
        SELECT b.id, row_number() OVER (ORDER BY b.id DESC) AS at FROM joblog.job_state b
        WHERE $4::int & 40 = 32 AND cardinality($5::int[]) <= 100
          AND b.lane_id = u.lane_id AND b.status = 5 AND b.id < $1::int8 AND b.id >= $2::int8
        ORDER BY b.id DESC LIMIT $14::int) p
), looked AS (
    SELECT f.id, f.is_last, f.fits AND ($5::int[] IS NULL OR f.lane_id = ANY ($5::int[]))
           AND ($6::text IS NULL AND $7::text IS NULL AND $8::text IS NULL AND $9::text IS NULL AND $10::jsonb IS NULL
                AND $11::int[] IS NULL AND $13::text[] IS NULL
                OR EXISTS (SELECT FROM joblog.job j
                           WHERE j.id = f.id
                             AND ($6::text IS NULL OR j.owner = $6::text)
                             AND ($7::text IS NULL OR j.source_type = $7::text)
                             AND ($8::text IS NULL OR j.source_id = $8::text)
                             AND ($9::text IS NULL OR j.batch = $9::text)
                             AND ($10::jsonb IS NULL OR j.labels @> $10::jsonb)
                             AND ($11::int[] IS NULL OR j.lane_id <> ALL ($11::int[]) OR j.owner = $12::text)
                             AND ($13::text[] IS NULL OR j.lane_id = ANY ($11::int[])
                                  OR coalesce(j.owner, '') LIKE ANY ($13::text[])))) AS fits
    FROM found f
)
SELECT k.id, k.is_last, k.fits FROM looked k WHERE k.fits OR k.is_last ORDER BY k.id DESC LIMIT $3::int
