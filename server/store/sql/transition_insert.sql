-- Changes out of the ordinary. Arrays; $3 time, the same for all.
INSERT INTO joblog.transition (job_id, revision, time, from_status, to_status, actor, reason, request_id)
SELECT u.job_id, u.revision, $3::timestamptz, u.from_status, u.to_status, u.actor, u.reason, u.request_id
FROM unnest($1::int8[], $2::int8[], $4::int2[], $5::int2[], $6::text[], $7::text[], $8::text[])
     u(job_id, revision, from_status, to_status, actor, reason, request_id)
