-- Leases of jobs that are inserted in the same transaction. Arrays; $3 start, the same for all.
INSERT INTO joblog.lease (start_time, job_id, token, session_id, expire_time, lane_id, worker)
SELECT $3::timestamptz, unnest($1::int8[]), unnest($2::int8[]), unnest($4::int8[]), unnest($5::timestamptz[]),
       unnest($6::int[]), unnest($7::text[])
