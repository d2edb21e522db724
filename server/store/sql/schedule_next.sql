-- When the next scheduled job is due. Row: run_time; none when there is none.
SELECT run_time FROM joblog.scheduled ORDER BY run_time, id LIMIT 1
