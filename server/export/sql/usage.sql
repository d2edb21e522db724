-- What an owner has: exports that have not ended, exports started since $2, bytes of files; and whether a request id has
-- been used.
-- $1 owner, $2 the smallest id of the last day, $3 the smallest id that is looked at for exports that have not ended,
-- $4 request id. One row of three bigint and an int.
SELECT count(*) FILTER (WHERE l.job_id IS NOT NULL OR coalesce(t.status, 1) = 1),
       count(*) FILTER (WHERE j.id >= $2::bigint),
       coalesce((SELECT sum(size) FROM joblog.export_file f
                 WHERE f.owner = $1::text AND f.gone = 0 AND f.expire_time > now()), 0)::bigint,
       (EXISTS (SELECT FROM joblog.request WHERE request_id = $4::text))::int
FROM joblog.job j
LEFT JOIN joblog.job_state t ON t.id = j.id
LEFT JOIN joblog.lease l ON l.job_id = j.id
WHERE j.lane_id IN (SELECT lane_id FROM joblog.lane WHERE job_name = 'joblog.export')
  AND j.id >= least($2::bigint, $3::bigint) AND j.owner = $1::text
