-- Months of which nothing need be kept any more at $1, and those that somebody began to take out, by the suffix of their partitions.
-- Reads each month that may be one.
SELECT m FROM joblog.months_begun() m UNION SELECT m FROM joblog.months_beyond($1::timestamptz) m ORDER BY 1
