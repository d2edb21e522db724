-- How much the log of changes holds behind a point. $1 replica numbers, $2 the last batch known of each; of replicas that are not
-- listed all counts. Row: bytes. Locks nothing.
SELECT coalesce(sum(octet_length(c.entries)), 0)::int8
FROM joblog.replica r
LEFT JOIN unnest($1::int[], $2::int8[]) k(replica, batch) ON k.replica = r.number
CROSS JOIN LATERAL (SELECT entries FROM joblog.change c WHERE c.replica = r.number AND c.batch > coalesce(k.batch, 0)
                    OFFSET 0) c
