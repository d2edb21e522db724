-- Replica numbers that nobody used lately, in the order to try them; 255 is what is done without a replica. Rows: number.
SELECT n::int
FROM generate_series(0, 254) n
LEFT JOIN joblog.replica r ON r.number = n
WHERE r.number IS NULL OR r.seen_time < now() - interval '2 minutes'
ORDER BY n
