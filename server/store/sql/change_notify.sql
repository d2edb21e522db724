-- Tells other replicas that there are changes; only a hint. In a transaction of its own: it takes a lock until the commit.
SELECT pg_notify('joblog_change', '')
