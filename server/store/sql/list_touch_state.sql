-- As list_touch_job, for the states of the jobs.
SELECT count(t.revision)
FROM joblog.job_state t
WHERE (t.id = ANY ($1::int8[]) AND t.id >= $2::int8 AND t.id <= $3::int8) OR t.id = -1
