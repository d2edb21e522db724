-- Which leases are not there any more. $1 jobs, $2 tokens. Rows: place in $1 from 1.
SELECT u.n
FROM unnest($1::int8[], $2::int8[]) WITH ORDINALITY u(job_id, token, n)
WHERE NOT EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = u.job_id AND l.token = u.token)
