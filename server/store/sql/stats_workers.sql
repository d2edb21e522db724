-- How many workers are connected and alive that may get jobs of one of the queues $2 (null: of any, but not the server's own workers,
-- whose queues begin with "joblog.") and of one of the job names $1 (null: any). Row: the number. One pass over the sessions.
SELECT count(*)
FROM joblog.session s
WHERE s.expire_time > now()
  AND CASE WHEN $2::text[] IS NULL THEN NOT starts_with(s.queues->>0, 'joblog.') ELSE s.queues ?| $2::text[] END
  AND ($1::text[] IS NULL OR s.job_names = '[]' OR s.job_names ?| $1::text[])
