-- One page of tokens, by id: after $1, at most $2; $3: 1 those too that are revoked. Arrays as lines. Rows: as token_load.
SELECT t.id, t.hash, t.name, t.roles, array_to_string(t.queues, E'\n'), array_to_string(t.job_names, E'\n'),
       array_to_string(t.owners, E'\n'), t.owner, t.own_only::int, t.may_delegate::int, t.creator, t.create_time,
       t.expire_time, t.last_use_time, t.revoker, t.revoke_time
FROM joblog.token t
WHERE t.id > $1::text AND ($3::int = 1 OR t.revoke_time IS NULL)
ORDER BY t.id LIMIT $2::int
