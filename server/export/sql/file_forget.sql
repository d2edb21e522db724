-- Forgets files that have been gone for long.
-- $1 those that would have expired before this time. No rows. May be repeated.
DELETE FROM joblog.export_file WHERE gone > 0 AND expire_time < $1::timestamptz
