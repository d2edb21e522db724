-- Replica numbers that nobody used lately, in the order to try them. Rows: number.
SELECT n::int
FROM generate_series(0, 255) n
LEFT JOIN joblog.replica r ON r.number = n
WHERE r.number IS NULL OR r.seen_time < now() - interval '2 minutes'
ORDER BY n
