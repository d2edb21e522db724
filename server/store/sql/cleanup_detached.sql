-- Months that have been taken out and are to be forgotten.
SELECT m FROM joblog.detached_months() m
