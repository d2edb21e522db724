-- Forgets tokens that ended before $1. Safe to repeat.
DELETE FROM joblog.token WHERE revoke_time < $1::timestamptz OR expire_time < $1::timestamptz
