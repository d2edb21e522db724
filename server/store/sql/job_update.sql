-- Changes of status: the end of an attempt, a cancel, a retry. Arrays with an element for each job, each with the stored
-- status that it must have; collides (JL001) unless all $22 of them had it. $23, $24 smallest and largest id.
WITH changed AS (
    UPDATE joblog.job j
    SET status = u.status, bad_status = CASE WHEN u.status >= 4 THEN u.status END, attempt = u.attempt,
        attempts_left = u.attempts_left, run_time = u.run_time, start_time = u.start_time, end_time = u.end_time,
        revision = u.revision, last_token = u.token, worker = u.worker, percent = u.percent, done = u.done,
        total = u.total, unit = u.unit, step = u.step, eta = u.eta, error_type = u.error_type,
        error_message = u.error_message, error_stack = u.error_stack, result = u.result
    FROM unnest($1::int8[], $2::int2[], $3::int2[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[],
                $8::timestamptz[], $9::int8[], $10::int8[], $11::text[], $12::float8[], $13::int8[], $14::int8[],
                $15::text[], $16::text[], $17::timestamptz[], $18::text[], $19::text[], $20::text[], $21::jsonb[])
         u(id, from_status, status, attempt, attempts_left, run_time, start_time, end_time, revision, token, worker,
           percent, done, total, unit, step, eta, error_type, error_message, error_stack, result)
    WHERE j.id = u.id AND j.id BETWEEN $23::int8 AND $24::int8 AND j.status = u.from_status
    RETURNING 1
)
SELECT CASE WHEN (SELECT count(*) FROM changed) = $22::int THEN 0 ELSE joblog.collide() END
