-- Gives replica number $1 back, so that the next process may take it at once.
UPDATE joblog.replica SET seen_time = '-infinity' WHERE number = $1::int
