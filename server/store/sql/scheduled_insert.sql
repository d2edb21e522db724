-- Jobs that may not run yet. $1 run times, $2 ids, $3 lanes, $4 negated priorities, $5 whether they have a row in job_state.
INSERT INTO joblog.scheduled (run_time, id, lane_id, neg_priority, has_state)
SELECT unnest($1::timestamptz[]), unnest($2::int8[]), unnest($3::int[]), unnest($4::int2[]), unnest($5::int[])::boolean
