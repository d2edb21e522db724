-- A page of workers' sessions that have not expired, by id. $1 only after this id, $2 most rows; the rest restricts where it is
-- not null: $3 worker, $4 host, $5 version, $6 queue. Rows: session_id, expire_time, start_time, replica, pid, worker, version,
-- host, queues, job names (a line each), credit, drain time, actor and reason, how many jobs it runs, the first 100 of them (ids with
-- spaces between), pause time, actor and reason.
SELECT s.session_id, s.expire_time, s.start_time, s.replica, s.pid, s.worker, s.version, s.host,
       (SELECT string_agg(e.value, E'\n') FROM jsonb_array_elements_text(s.queues) e(value)),
       (SELECT string_agg(e.value, E'\n') FROM jsonb_array_elements_text(s.job_names) e(value)),
       s.credit, s.drain_time, s.drain_actor, s.drain_reason, coalesce(l.n, 0), l.ids,
       p.pause_time, p.actor, p.reason
FROM joblog.session s
LEFT JOIN joblog.worker_pause p ON p.worker = s.worker AND p.host = coalesce(s.host, '') AND p.pid = s.pid
LEFT JOIN (SELECT session_id, count(*) AS n,
                  array_to_string((array_agg(job_id ORDER BY job_id))[1:100], ' ') AS ids
           FROM joblog.lease WHERE session_id IS NOT NULL GROUP BY session_id) l ON l.session_id = s.session_id
WHERE s.session_id > $1::int8 AND s.expire_time >= now()
  AND ($3::text IS NULL OR s.worker = $3::text)
  AND ($4::text IS NULL OR s.host = $4::text)
  AND ($5::text IS NULL OR s.version = $5::text)
  AND ($6::text IS NULL OR s.queues @> to_jsonb($6::text))
ORDER BY s.session_id LIMIT $2::int
