-- Deletes request ids older than $1 from 50 blocks of the table (about 4500 ids), from block $2 on: no index, which every dispatch
-- would have to pay for, no scan of the whole, and whoever dispatches with one of these ids waits for no more than that. Row: how
-- many were deleted, the block to go on with (0 after the last). Safe to repeat.
WITH gone AS (
    DELETE FROM joblog.request
    WHERE ctid >= format('(%s,0)', $2::int8)::tid AND ctid < format('(%s,0)', $2::int8 + 50)::tid
      AND create_time < $1::timestamptz
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone),
       CASE WHEN ($2::int8 + 50) * current_setting('block_size')::int8 < pg_relation_size('joblog.request')
            THEN $2::int8 + 50 ELSE 0 END
