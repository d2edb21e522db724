-- What was changed behind a point. $1 replica numbers, $2 the last batch known of each; of replicas that are not listed all.
-- Rows: replica, batch, changes. Locks nothing.
SELECT c.replica, c.batch, c.entries
FROM joblog.replica r
LEFT JOIN unnest($1::int[], $2::int8[]) k(replica, batch) ON k.replica = r.number
CROSS JOIN LATERAL (SELECT * FROM joblog.change c WHERE c.replica = r.number AND c.batch > coalesce(k.batch, 0)
                    OFFSET 0) c
