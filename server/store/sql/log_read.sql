-- A page of a job's log. $1 job, $2 only after this sequence, $3 only of this attempt (0: all), $4 least level, $5 most lines.
SELECT sequence, attempt, time, level, text
FROM joblog.job_log
WHERE job_id = $1::int8 AND sequence > $2::int8 AND ($3::int = 0 OR attempt = $3::int) AND level >= $4::int
ORDER BY sequence LIMIT $5::int
