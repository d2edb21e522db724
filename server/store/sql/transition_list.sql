-- Recorded changes of job $1, in order.
SELECT revision, time, from_status, to_status, actor, reason, request_id
FROM joblog.transition WHERE job_id = $1::int8 ORDER BY revision
