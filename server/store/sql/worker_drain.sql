-- Asks workers' sessions to drain; one that was asked before keeps who did. The server's own, which serve a queue of its own, are
-- passed over: they go with their server. It restricts where it is not null: $1 session ids, $2 worker, $3 host, $4 version. $5
-- actor, $6 reason. Rows: session_id, 1 if it is passed over (int). Safe to repeat.
WITH chosen AS MATERIALIZED (
    SELECT s.session_id, EXISTS (SELECT FROM jsonb_array_elements_text(s.queues) q(name) WHERE starts_with(q.name, 'joblog.')) AS own
    FROM joblog.session s
    WHERE s.expire_time >= now()
      AND ($1::int8[] IS NULL OR s.session_id = ANY ($1::int8[]))
      AND ($2::text IS NULL OR s.worker = $2::text)
      AND ($3::text IS NULL OR s.host = $3::text)
      AND ($4::text IS NULL OR s.version = $4::text)
), asked AS (
    UPDATE joblog.session s
    SET drain_time = coalesce(s.drain_time, now()),
        drain_actor = CASE WHEN s.drain_time IS NULL THEN $5::text ELSE s.drain_actor END,
        drain_reason = CASE WHEN s.drain_time IS NULL THEN $6::text ELSE s.drain_reason END
    FROM chosen c WHERE c.session_id = s.session_id AND NOT c.own
    RETURNING s.session_id
)
SELECT a.session_id, 0 FROM asked a
UNION ALL
SELECT c.session_id, 1 FROM chosen c WHERE c.own
