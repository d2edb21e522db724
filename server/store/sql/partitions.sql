-- Makes the partitions from yesterday to three days ahead. Row: how many were made. Safe to repeat.
SELECT joblog.ensure_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 3)
