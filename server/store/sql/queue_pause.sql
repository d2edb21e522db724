-- Pauses queue $1, by actor $2, for reason $3 (or null). One that is paused already stays as it is. Safe to repeat.
INSERT INTO joblog.queue_pause (queue, time, actor, reason) VALUES ($1::text, now(), $2::text, $3::text)
ON CONFLICT DO NOTHING
