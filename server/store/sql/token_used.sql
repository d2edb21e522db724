-- When tokens were used last: $1 ids, $2 times. Never goes back: replicas write in any order. In the order of the ids, so that
-- two replicas do not wait for each other in a circle. Safe to repeat.
UPDATE joblog.token t SET last_use_time = u.time
FROM (SELECT l.id, v.time
      FROM unnest($1::text[], $2::timestamptz[]) AS v (id, time)
      JOIN joblog.token l ON l.id = v.id
      WHERE l.last_use_time IS NULL OR l.last_use_time < v.time
      ORDER BY l.id FOR UPDATE OF l) u
WHERE t.id = u.id
