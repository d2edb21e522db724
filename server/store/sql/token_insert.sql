-- Makes a token, unless there are $14 that live already.
-- $1 id, $2 hash, $3 name, $4 roles, $5 queues, $6 job names, $7 owners, $8 owner, $9 sees only its own, $10 may delegate
-- (0 or 1 each), $11 creator, $12 time, $13 end or null. Rows: 1 when it is there now; none: there are too many. Safe to
-- repeat with the same id; another token of that name is a unique violation. Locks the version.
WITH room AS (
    SELECT 1 WHERE (SELECT count(*) FROM joblog.token t
                    WHERE t.revoke_time IS NULL AND (t.expire_time IS NULL OR t.expire_time > $12::timestamptz)) < $14::int
), raised AS (
    UPDATE joblog.token_version SET number = number + 1 WHERE EXISTS (SELECT FROM room) RETURNING number
)
INSERT INTO joblog.token AS t (id, hash, name, roles, queues, job_names, owners, owner, own_only, may_delegate, creator,
                               create_time, expire_time)
SELECT $1::text, $2::bytea, $3::text, $4::int, $5::text[], $6::text[], $7::text[], $8::text, $9::int = 1, $10::int = 1,
       $11::text, $12::timestamptz, $13::timestamptz
FROM raised
ON CONFLICT (id) DO UPDATE SET id = excluded.id WHERE t.hash = excluded.hash
RETURNING 1
