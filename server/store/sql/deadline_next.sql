-- When the next deadline is. Row: its time; none when there is none.
SELECT d.time FROM joblog.deadline d ORDER BY d.time LIMIT 1
