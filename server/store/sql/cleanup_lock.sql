-- Makes this connection the one that cleans up, for as long as it lives. Row: 1 when no other replica does.
SELECT pg_try_advisory_lock(19020, 1001)::int
