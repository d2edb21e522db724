-- Merges patches into payloads, for leases that are still there; others are left out. $1 jobs, $2 patches: for one job those of
-- this array in its order; $3 tokens. $4, $5 smallest and largest job, which spares a look at other partitions.
UPDATE joblog.job j
SET payload = j.payload || m.patch
FROM (SELECT u.job_id, u.token, joblog.merge(u.patch ORDER BY u.n) AS patch
      FROM unnest($1::int8[], $2::jsonb[], $3::int8[]) WITH ORDINALITY u(job_id, patch, token, n)
      GROUP BY u.job_id, u.token) m
WHERE j.id = m.job_id AND j.id BETWEEN $4::int8 AND $5::int8
  AND EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = m.job_id AND l.token = m.token)
