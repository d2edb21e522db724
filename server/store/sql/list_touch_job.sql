-- Reads the pages on which the jobs $1 lie, many at a time, so that what follows finds them in memory. $2 the least and $3 the greatest of
-- the ids. Row: nothing of use. The "or" leaves no other way than a bitmap of the pages, which are then asked for ahead
-- (effective_io_concurrency, connect.c); an index scan would wait for one after the other. No condition stands outside of it, which
-- could be taken for a range to read from end to end.
SELECT count(j.run_time)
FROM joblog.job j
WHERE (j.id = ANY ($1::int8[]) AND j.id >= $2::int8 AND j.id <= $3::int8) OR j.id = -1
