-- Tallies of replica $1. Rows: lane_id, status, n.
SELECT lane_id, status, n FROM joblog.tally WHERE replica = $1::int
