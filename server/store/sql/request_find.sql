-- Who holds these request ids. $1 request ids. Rows: place in $1 from 1, job_id, body_hash.
SELECT u.n, r.job_id, r.body_hash
FROM unnest($1::text[]) WITH ORDINALITY u(request_id, n)
JOIN joblog.request r ON r.request_id = u.request_id
