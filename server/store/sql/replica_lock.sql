-- Takes replica number $1 for as long as this connection lives. Row: was it free.
SELECT pg_try_advisory_lock(19021, $1::int)::int
