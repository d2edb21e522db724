-- One page of ids, newest first, for statuses other than completed: each from the place where such jobs are found.
-- $1 only below this id, $2 only from this id on, $3 how many at most, $4 bits of statuses; $5 lanes and $10 labels restrict
-- where they are not null; $6 to $9 and $13 must be null. Rows: id.
-- Of up to 100 lanes the failed and the cancelled jobs are looked up lane by lane.
-- The caller's scope: $11 lanes of which it sees only the owner $12's.
SELECT t.id FROM (
    (SELECT w.id FROM joblog.waiting w
     WHERE $4::int & 2 <> 0 AND w.id < $1::int8 AND w.id >= $2::int8
       AND ($5::int[] IS NULL OR w.lane_id = ANY ($5::int[]))
       AND ($11::int[] IS NULL OR w.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = w.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = w.id AND j.labels @> $10::jsonb))
     ORDER BY w.id DESC LIMIT $3::int)
    UNION ALL
    (SELECT s.id FROM joblog.scheduled s
     WHERE $4::int & 2 <> 0 AND s.id < $1::int8 AND s.id >= $2::int8
       AND ($5::int[] IS NULL OR s.lane_id = ANY ($5::int[]))
       AND ($11::int[] IS NULL OR s.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = s.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = s.id AND j.labels @> $10::jsonb))
     ORDER BY s.id DESC LIMIT $3::int)
    UNION ALL
    (SELECT r.id FROM joblog.arrival r
     WHERE $4::int & 2 <> 0 AND r.id < $1::int8 AND r.id >= $2::int8
       AND ($5::int[] IS NULL OR r.lane_id = ANY ($5::int[]))
       AND ($11::int[] IS NULL OR r.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = r.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = r.id AND j.labels @> $10::jsonb))
     ORDER BY r.id DESC LIMIT $3::int)
    UNION ALL
    (SELECT l.job_id FROM joblog.lease l
     WHERE $4::int & 4 <> 0 AND l.job_id < $1::int8 AND l.job_id >= $2::int8
       AND ($5::int[] IS NULL OR l.lane_id = ANY ($5::int[]))
       AND ($11::int[] IS NULL OR l.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = l.job_id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = l.job_id AND j.labels @> $10::jsonb))
     ORDER BY l.job_id DESC LIMIT $3::int)
    UNION ALL
    (SELECT b.id FROM joblog.job_state b
     WHERE $4::int & 16 <> 0 AND b.status = 4 AND b.id < $1::int8 AND b.id >= $2::int8
       AND ($5::int[] IS NULL OR cardinality($5::int[]) > 100)
       AND ($5::int[] IS NULL OR b.lane_id = ANY ($5::int[]))
       AND ($11::int[] IS NULL OR b.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.labels @> $10::jsonb))
     ORDER BY b.id DESC LIMIT $3::int)
    UNION ALL
    (SELECT m.id FROM unnest($5::int[]) u(lane_id) CROSS JOIN LATERAL
    (SELECT b.id FROM joblog.job_state b
     WHERE $4::int & 16 <> 0 AND cardinality($5::int[]) <= 100 AND b.lane_id = u.lane_id AND b.status = 4 AND b.id < $1::int8 AND b.id >= $2::int8
       AND ($11::int[] IS NULL OR b.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.labels @> $10::jsonb))
     ORDER BY b.id DESC LIMIT $3::int) m
     ORDER BY m.id DESC LIMIT $3::int)
    UNION ALL
    (SELECT b.id FROM joblog.job_state b
     WHERE $4::int & 32 <> 0 AND b.status = 5 AND b.id < $1::int8 AND b.id >= $2::int8
       AND ($5::int[] IS NULL OR cardinality($5::int[]) > 100)
       AND ($5::int[] IS NULL OR b.lane_id = ANY ($5::int[]))
       AND ($11::int[] IS NULL OR b.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.labels @> $10::jsonb))
     ORDER BY b.id DESC LIMIT $3::int)
    UNION ALL
    (SELECT m.id FROM unnest($5::int[]) u(lane_id) CROSS JOIN LATERAL
    (SELECT b.id FROM joblog.job_state b
     WHERE $4::int & 32 <> 0 AND cardinality($5::int[]) <= 100 AND b.lane_id = u.lane_id AND b.status = 5 AND b.id < $1::int8 AND b.id >= $2::int8
       AND ($11::int[] IS NULL OR b.lane_id <> ALL ($11::int[])
            OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.owner = $12::text))
       AND ($10::jsonb IS NULL OR EXISTS (SELECT FROM joblog.job j WHERE j.id = b.id AND j.labels @> $10::jsonb))
     ORDER BY b.id DESC LIMIT $3::int) m
     ORDER BY m.id DESC LIMIT $3::int)
) t
WHERE ($6::text IS NULL AND $7::text IS NULL AND $8::text IS NULL AND $9::text IS NULL
       AND $13::text[] IS NULL)
ORDER BY t.id DESC LIMIT $3::int
