-- Who holds these keys after unique_take. $1 job names, $2 keys. Rows, in their order: the job that holds it, its queue
-- and owner (null when it is not inserted yet). Collides (JL001) when nobody does: it was released in between.
SELECT CASE WHEN k.job_id IS NULL THEN joblog.collide() ELSE k.job_id END, a.queue, j.owner
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY u(job_name, key, n)
LEFT JOIN joblog.unique_key k ON k.job_name = u.job_name AND k.key = u.key
LEFT JOIN joblog.job j ON j.id = k.job_id
LEFT JOIN joblog.lane a ON a.lane_id = j.lane_id
ORDER BY u.n
