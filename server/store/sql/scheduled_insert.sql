-- Jobs that may not run yet. $1 run times, $2 ids, $3 lanes, $4 negated priorities.
INSERT INTO joblog.scheduled (run_time, id, lane_id, neg_priority)
SELECT * FROM unnest($1::timestamptz[], $2::int8[], $3::int[], $4::int2[])
