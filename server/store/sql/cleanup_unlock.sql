-- Lets another replica clean up.
SELECT pg_advisory_unlock(19020, 1001)::int
