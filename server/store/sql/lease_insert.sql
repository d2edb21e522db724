-- Leases of jobs that are inserted in the same transaction. Arrays; $4 start, the same for all.
INSERT INTO joblog.lease (start_time, attempt, job_id, token, session_id, expire_time, revision, lane_id, attempts_left,
                          worker)
SELECT $4::timestamptz, 1, unnest($1::int8[]), unnest($2::int8[]), unnest($3::int8[]), unnest($5::timestamptz[]),
       unnest($6::int8[]), unnest($7::int[]), unnest($8::int[]), unnest($9::text[])
