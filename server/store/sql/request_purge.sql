-- Deletes request ids older than $1 from 500 blocks of the table, from block $2 on: no index, which every dispatch would have to
-- pay for, and no scan of the whole. Row: how many were deleted, the block to go on with (0 after the last). Safe to repeat.
WITH gone AS (
    DELETE FROM joblog.request
    WHERE ctid >= format('(%s,0)', $2::int8)::tid AND ctid < format('(%s,0)', $2::int8 + 500)::tid
      AND create_time < $1::timestamptz
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone),
       CASE WHEN ($2::int8 + 500) * current_setting('block_size')::int8 < pg_relation_size('joblog.request')
            THEN $2::int8 + 500 ELSE 0 END
