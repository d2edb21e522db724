-- Changes out of the ordinary. Arrays; $3 time, the same for all. The request of a job whose cancel was asked for while it ran is with
-- its lease, which still has to be there.
INSERT INTO joblog.transition (time, job_id, revision, from_status, to_status, actor, reason, request_id)
SELECT $3::timestamptz, u.job_id, u.revision, u.from_status, u.to_status, u.actor, u.reason, coalesce(u.request_id, l.cancel_request_id)
FROM unnest($1::int8[], $2::int8[], $4::int2[], $5::int2[], $6::text[], $7::text[], $8::text[])
    u(job_id, revision, from_status, to_status, actor, reason, request_id)
LEFT JOIN joblog.lease l ON l.job_id = u.job_id AND l.cancel_request_id IS NOT NULL
