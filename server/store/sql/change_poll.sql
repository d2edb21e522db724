-- How far each replica is, and what was changed, all of one moment: so whatever preceded a batch that is told of is there too.
-- $1 replica numbers, $2 the last batch known of each, $3 how many batches of each at most. Rows: replica, its last batch, null,
-- does it live; and replica, batch, changes, null. Locks nothing; safe to repeat.
SELECT number, batch, NULL::bytea, (seen_time > now() - interval '70 seconds')::int FROM joblog.replica
UNION ALL
SELECT c.replica, c.batch, c.entries, NULL::int
FROM unnest($1::int[], $2::int8[]) k(replica, batch)
CROSS JOIN LATERAL (SELECT * FROM joblog.change c WHERE c.replica = k.replica AND c.batch > k.batch
                    ORDER BY c.batch LIMIT $3::int) c
