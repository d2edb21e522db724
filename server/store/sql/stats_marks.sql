-- What a reader of counters must know first. Row: how many workers are connected and alive, up to where hours, up to where days have
-- been summed up.
SELECT (SELECT count(*) FROM joblog.session s WHERE s.expire_time > now()),
       (SELECT m.until FROM joblog.rollup_mark m WHERE m.span = 1), (SELECT m.until FROM joblog.rollup_mark m WHERE m.span = 2)
