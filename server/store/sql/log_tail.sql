-- Where the last $5 lines of a page of log_read begin. Row: the sequence before the first of them. Parameters as of log_read.
SELECT coalesce(min(sequence), 1) - 1
FROM (SELECT sequence FROM joblog.job_log
      WHERE job_id = $1::int8 AND sequence > $2::int8 AND ($3::int = 0 OR attempt = $3::int) AND level >= $4::int
      ORDER BY sequence DESC LIMIT $5::int) l
