-- Makes workers' sessions, or gives them a new expiry and credit. $1 ids, $2 expiries, $3 starts, $4 replica, $5 pids, $6 workers,
-- $7 versions, $8 hosts, $9 queues and $10 job names as JSON arrays, $11 credits. Safe to repeat.
INSERT INTO joblog.session AS s (session_id, expire_time, start_time, replica, pid, worker, version, host, queues, job_names,
                                 credit)
SELECT u.session_id, u.expire_time, u.start_time, $4::int, u.pid, u.worker, u.version, u.host, u.queues, u.job_names, u.credit
FROM unnest($1::int8[], $2::timestamptz[], $3::timestamptz[], $5::int8[], $6::text[], $7::text[], $8::text[], $9::jsonb[],
            $10::jsonb[], $11::int4[])
     u(session_id, expire_time, start_time, pid, worker, version, host, queues, job_names, credit)
ON CONFLICT (session_id) DO UPDATE SET expire_time = excluded.expire_time, credit = excluded.credit
