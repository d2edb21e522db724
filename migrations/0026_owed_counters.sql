-- What a replica owes to its rows of tally and minute: a batch that is about a lane or two writes the present values into the
-- replica's own row, which it writes anyway, and only now and then the tables. Whoever reads the counters reads the views.

ALTER TABLE joblog.replica ADD COLUMN owed json;

COMMENT ON COLUMN joblog.replica.owed IS
    'Present values of counters that are not in joblog.tally and joblog.minute yet: {"minute": seconds since 1970, "lanes": [{"lane": '
    'lane_id, "n": [of status 1, 2 …], "c": [dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum, wait_us_sum] '
    'or null, "r": run_hist, "w": wait_hist}]}. They take the place of what the tables have of this replica.';

CREATE VIEW joblog.owed AS
SELECT r.number AS replica, to_timestamp((r.owed ->> 'minute')::float8) AS minute, o.lane AS lane_id, o.n, o.c,
       o.r AS run_hist, o.w AS wait_hist
FROM joblog.replica r
CROSS JOIN LATERAL json_to_recordset(r.owed -> 'lanes') AS o(lane int, n int8[], c int8[], r int[], w int[])
WHERE r.owed IS NOT NULL;

COMMENT ON VIEW joblog.owed IS 'joblog.replica.owed in rows.';

CREATE VIEW joblog.tally_now AS
SELECT t.replica, t.lane_id, t.status, t.n FROM joblog.tally t
WHERE (t.replica, t.lane_id) NOT IN (SELECT o.replica, o.lane_id FROM joblog.owed o)
UNION ALL
SELECT o.replica, o.lane_id, s.status::int2, s.n FROM joblog.owed o CROSS JOIN LATERAL unnest(o.n) WITH ORDINALITY AS s(n, status);

COMMENT ON VIEW joblog.tally_now IS 'Jobs by lane and status: the sum over the replicas. A single row may be negative.';

CREATE VIEW joblog.minute_now AS
SELECT m.minute, m.lane_id, m.replica, m.dispatched, m.completed, m.failed, m.cancelled, m.retried, m.n_runs, m.run_us_sum,
       m.wait_us_sum, m.run_hist, m.wait_hist
FROM joblog.minute m
WHERE (m.replica, m.lane_id, m.minute) NOT IN (SELECT o.replica, o.lane_id, o.minute FROM joblog.owed o WHERE o.c IS NOT NULL)
UNION ALL
SELECT o.minute, o.lane_id, o.replica, o.c[1], o.c[2], o.c[3], o.c[4], o.c[5], o.c[6], o.c[7], o.c[8], o.run_hist, o.wait_hist
FROM joblog.owed o
WHERE o.c IS NOT NULL;

COMMENT ON VIEW joblog.minute_now IS 'What happened in a minute, by lane and replica.';
COMMENT ON TABLE joblog.tally IS 'Jobs by lane and status, as of the last time that a replica wrote it: see joblog.tally_now. Rows of replica 255
are of what is done without a replica.';
COMMENT ON TABLE joblog.minute IS 'What happened in a minute, as of the last time that a replica wrote it: see joblog.minute_now. The histograms
start at the subscript of their first bucket in use (server/core/histogram.h).';
