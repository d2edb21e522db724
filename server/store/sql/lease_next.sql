-- When the next session or lease will end that has not ended at $1. Rows: its expire_time, null when there is none.
SELECT least((SELECT min(s.expire_time) FROM joblog.session s WHERE s.expire_time >= $1::timestamptz),
             (SELECT l.expire_time FROM joblog.lease l WHERE l.expire_time >= $1::timestamptz ORDER BY 1 LIMIT 1))
