-- Leases of jobs that are inserted in the same transaction. Arrays; $4 start, the same for all.
INSERT INTO joblog.lease (job_id, token, session_id, start_time, expire_time, revision, lane_id, attempt, attempts_left,
                          worker)
SELECT u.job_id, u.token, u.session_id, $4::timestamptz, u.expire_time, u.revision, u.lane_id, 1, u.attempts_left, u.worker
FROM unnest($1::int8[], $2::int8[], $3::int8[], $5::timestamptz[], $6::int8[], $7::int[], $8::int[], $9::text[])
     u(job_id, token, session_id, expire_time, revision, lane_id, attempts_left, worker)
