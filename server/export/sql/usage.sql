-- What an owner has: exports that have not ended, starts since $2 (a retry by somebody is one more), bytes of files; and
-- whether a request id has been used.
-- $1 owner, $2 the smallest id of the last day, $3 the smallest id that is looked at for exports that have not ended, and
-- for retries, $4 request id. One row of three bigint and an int. A retry sets the job's run_time, which no later step sets
-- back: so the transitions of few jobs are looked at.
SELECT count(*) FILTER (WHERE l.job_id IS NOT NULL OR coalesce(t.status, 1) = 1),
       count(*) FILTER (WHERE j.id >= $2::bigint)
           + coalesce(sum(CASE WHEN t.run_time > now() - interval '1 day'
                               THEN (SELECT count(*) FROM joblog.transition r
                                     WHERE r.job_id = j.id AND r.from_status IN (4, 5) AND r.to_status = 1
                                       AND r.time > now() - interval '1 day') END), 0)::bigint,
       coalesce((SELECT sum(size) FROM joblog.export_file f
                 WHERE f.owner = $1::text AND f.gone = 0 AND f.expire_time > now()), 0)::bigint,
       (EXISTS (SELECT FROM joblog.request WHERE request_id = $4::text))::int
FROM joblog.job j
LEFT JOIN joblog.job_state t ON t.id = j.id
LEFT JOIN joblog.lease l ON l.job_id = j.id
WHERE j.lane_id IN (SELECT lane_id FROM joblog.lane WHERE job_name = 'joblog.export')
  AND j.id >= least($2::bigint, $3::bigint) AND j.owner = $1::text
