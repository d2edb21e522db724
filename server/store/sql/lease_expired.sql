-- Are there leases with a time of their own that have ended at $1? Row: 0 or 1.
SELECT EXISTS (SELECT FROM joblog.lease WHERE expire_time < $1::timestamptz)::int
