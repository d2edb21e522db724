-- Resumes queue $1. Safe to repeat.
DELETE FROM joblog.queue_pause WHERE queue = $1::text
