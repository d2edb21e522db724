-- Claims request ids for jobs that are inserted in the same transaction. $1 request ids, $2 job ids, $3 hashes, $4 time.
-- Fails (23505) when one of them is taken, after waiting for another transaction that claims it: the batch then asks with
-- request_insert and request_find, and runs again.
INSERT INTO joblog.request (request_id, job_id, body_hash, create_time)
SELECT unnest($1::text[]), unnest($2::int8[]), unnest($3::bytea[]), $4::timestamptz
