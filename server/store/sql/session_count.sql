-- Workers that are connected and alive. Row: how many.
SELECT count(*) FROM joblog.session s WHERE s.expire_time > now()
