-- Makes the partitions from yesterday to ten days ahead, those of the logs for the same months. Row: for how many months of
-- each. Safe to repeat.
SELECT joblog.ensure_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 10),
       joblog.ensure_log_partitions()
