-- Lets paused workers go on. It restricts where it is not null: $1 session ids, $2 worker, $3 host, $4 version; $5 and $6 are not
-- looked at. Rows: session_id of those that were paused and are connected. Safe to repeat: then there are no rows.
WITH gone AS (
    DELETE FROM joblog.worker_pause p
    WHERE ($2::text IS NULL OR p.worker = $2::text)
      AND ($3::text IS NULL OR p.host = $3::text)
      AND (($1::int8[] IS NULL AND $4::text IS NULL)
           OR EXISTS (SELECT FROM joblog.session s
                      WHERE s.worker = p.worker AND coalesce(s.host, '') = p.host AND s.pid = p.pid
                        AND ($1::int8[] IS NULL OR s.session_id = ANY ($1::int8[]))
                        AND ($4::text IS NULL OR s.version = $4::text)))
      AND ($5::text IS NULL OR true) AND ($6::text IS NULL OR true)
    RETURNING p.worker, p.host, p.pid
)
SELECT s.session_id FROM joblog.session s
JOIN gone g ON s.worker = g.worker AND coalesce(s.host, '') = g.host AND s.pid = g.pid
WHERE s.expire_time >= now()
