-- Months of which nothing need be kept any more at $1, by the suffix of their partitions. Reads each month that may be one.
SELECT m FROM joblog.months_beyond($1::timestamptz) m
