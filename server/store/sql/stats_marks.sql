-- What a reader of counters must know first. Row: up to where hours, up to where days have been summed up.
SELECT (SELECT m.until FROM joblog.rollup_mark m WHERE m.span = 1), (SELECT m.until FROM joblog.rollup_mark m WHERE m.span = 2)
