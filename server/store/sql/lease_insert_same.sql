-- As lease_insert, for leases that differ in job and token only. $1 jobs, $2 tokens, $3 start, $4 session, $5 expiry, $6 lane,
-- $7 worker.
INSERT INTO joblog.lease (start_time, job_id, token, session_id, expire_time, lane_id, worker)
SELECT $3::timestamptz, unnest($1::int8[]), unnest($2::int8[]), $4::int8, $5::timestamptz, $6::int, $7::text
