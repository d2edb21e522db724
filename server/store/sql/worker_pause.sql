-- Pauses workers; one that is paused already keeps who did. It restricts where it is not null: $1 session ids, $2 worker, $3 host, $4
-- version. $5 actor, $6 reason. The server's own, which serve a queue of its own, are meant by session or name only. Rows:
-- session_id of those that are connected. Safe to repeat.
WITH chosen AS MATERIALIZED (
    SELECT s.session_id, s.worker, coalesce(s.host, '') AS host, s.pid FROM joblog.session s
    WHERE s.expire_time >= now()
      AND ($1::int8[] IS NULL OR s.session_id = ANY ($1::int8[]))
      AND ($2::text IS NULL OR s.worker = $2::text)
      AND ($3::text IS NULL OR s.host = $3::text)
      AND ($4::text IS NULL OR s.version = $4::text)
      AND ($1::int8[] IS NOT NULL OR $2::text IS NOT NULL
           OR NOT EXISTS (SELECT FROM jsonb_array_elements_text(s.queues) q(name) WHERE starts_with(q.name, 'joblog.')))
), put AS (
    INSERT INTO joblog.worker_pause (worker, host, pid, pause_time, actor, reason)
    SELECT DISTINCT c.worker, c.host, c.pid, now(), $5::text, coalesce($6::text, '') FROM chosen c
    ON CONFLICT (worker, host, pid) DO NOTHING
)
SELECT c.session_id FROM chosen c
