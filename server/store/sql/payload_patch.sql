-- Merges patches into payloads. $1 jobs, $2 patches: for one job those of this array in its order.
-- $3, $4 smallest and largest job, which spares a look at other partitions.
UPDATE joblog.job j
SET payload = j.payload || m.patch
FROM (SELECT u.job_id, joblog.merge(u.patch ORDER BY u.n) AS patch
      FROM unnest($1::int8[], $2::jsonb[]) WITH ORDINALITY u(job_id, patch, n) GROUP BY u.job_id) m
WHERE j.id = m.job_id AND j.id BETWEEN $3::int8 AND $4::int8
