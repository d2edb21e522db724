-- Ids of jobs, newest first, by an index alone: the newest $3 behind the newest $4. $1 only below this id, $2 only from this id on. Rows: id.
-- One row behind many tells how far a list goes when it looks at so many; many behind none are a page.
SELECT j.id FROM joblog.job j WHERE j.id < $1::int8 AND j.id >= $2::int8 ORDER BY j.id DESC OFFSET $4::int LIMIT $3::int
