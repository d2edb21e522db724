-- The id behind the newest $3 jobs, so that a list looks at no more of them. $1 only below this id, $2 only from this id on. Row: id;
-- none when there are no more than that.
SELECT j.id FROM joblog.job j WHERE j.id < $1::int8 AND j.id >= $2::int8 ORDER BY j.id DESC OFFSET $3::int LIMIT 1
