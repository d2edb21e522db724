-- Inserts jobs. All parameters are arrays with an element for each job.
-- A job whose id is taken fails the batch: ids are made by one thread of one replica, so that cannot be.
INSERT INTO joblog.job (id, lane_id, run_time, revision, attempts_left, max_attempts, status, priority, initial_backoff_us,
                        max_backoff_us, multiplier, jitter, source_type, source_id, owner, creator, batch, traceparent,
                        request_id, labels, payload)
SELECT u.id, u.lane_id, u.run_time, 1048576, u.max_attempts, u.max_attempts, 1, u.priority, u.initial_backoff_us,
       u.max_backoff_us, u.multiplier, u.jitter, u.source_type, u.source_id, u.owner, u.creator, u.batch, u.traceparent,
       u.request_id, u.labels, u.payload
FROM unnest($1::int8[], $2::int[], $3::timestamptz[], $4::int[], $5::int2[], $6::int8[], $7::int8[], $8::float8[],
            $9::float8[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::jsonb[], $18::jsonb[])
     u(id, lane_id, run_time, max_attempts, priority, initial_backoff_us, max_backoff_us, multiplier, jitter, source_type,
       source_id, owner, creator, batch, traceparent, request_id, labels, payload)
