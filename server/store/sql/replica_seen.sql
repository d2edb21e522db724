-- Replica $1 lives. Its lock alone would not keep the number while the connection is being mended.
UPDATE joblog.replica SET seen_time = now() WHERE number = $1::int
