-- Makes the partitions from yesterday to ten days ahead. Row: for how many months. Safe to repeat.
SELECT joblog.ensure_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 10)
