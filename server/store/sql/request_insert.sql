-- Claims request ids for jobs that are about to be inserted. $1 request ids, $2 job ids, $3 hashes, $4 time.
-- Waits for another transaction that claims the same one. request_find tells who got it.
INSERT INTO joblog.request (request_id, job_id, body_hash, create_time)
SELECT u.request_id, u.job_id, u.body_hash, $4::timestamptz
FROM unnest($1::text[], $2::int8[], $3::bytea[]) u(request_id, job_id, body_hash)
ON CONFLICT DO NOTHING
