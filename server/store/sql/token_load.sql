-- All tokens that live at $1. Patterns hold no line breaks, so that arrays travel as lines. Rows: id, hash, name, roles,
-- queues, job names, owners, owner, sees only its own, may delegate, creator, creation, end, last use, revoker, revocation.
SELECT t.id, t.hash, t.name, t.roles, array_to_string(t.queues, E'\n'), array_to_string(t.job_names, E'\n'),
       array_to_string(t.owners, E'\n'), t.owner, t.own_only::int, t.may_delegate::int, t.creator, t.create_time,
       t.expire_time, t.last_use_time, t.revoker, t.revoke_time
FROM joblog.token t
WHERE t.revoke_time IS NULL AND (t.expire_time IS NULL OR t.expire_time > $1::timestamptz)
