-- Which database this is. Row: text of a UUID.
SELECT id::text FROM joblog.identity
