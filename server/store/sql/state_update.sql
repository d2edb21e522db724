-- Further changes of jobs that have a row in job_state: ends of later attempts, cancels, retries. Arrays, and with each job the
-- stored status that it must have ($22); collides (JL001) unless all $23 of them had it. $24, $25 smallest and largest id.
WITH changed AS (
    UPDATE joblog.job_state t
    SET status = u.status, attempt = u.attempt, attempts_left = u.attempts_left, run_time = u.run_time,
        start_time = u.start_time, end_time = u.end_time, revision = u.revision, last_token = u.last_token,
        worker = u.worker, percent = u.percent, done = u.done, total = u.total, unit = u.unit, step = u.step,
        eta = u.eta, error_type = u.error_type, error_message = u.error_message, error_stack = u.error_stack,
        result = u.result
    FROM unnest($1::int8[], $2::int[], $3::int2[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[],
                $8::timestamptz[], $9::int8[], $10::int8[], $11::text[], $12::float8[], $13::int8[], $14::int8[],
                $15::text[], $16::text[], $17::timestamptz[], $18::text[], $19::text[], $20::text[], $21::jsonb[],
                $22::int2[])
         u(id, lane_id, status, attempt, attempts_left, run_time, start_time, end_time, revision, last_token, worker,
           percent, done, total, unit, step, eta, error_type, error_message, error_stack, result, from_status)
    WHERE t.id = u.id AND t.id BETWEEN $24::int8 AND $25::int8 AND t.status = u.from_status
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM changed) = $23::int THEN 0 ELSE joblog.collide() END
