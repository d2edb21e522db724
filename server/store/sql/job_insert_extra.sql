-- As job_insert, for the few jobs with something extra ($19): a statement of its own, so that the others are spared it.
INSERT INTO joblog.job (id, lane_id, run_time, max_attempts, priority, initial_backoff_us, max_backoff_us, multiplier, jitter,
                        source_type, source_id, owner, creator, batch, traceparent, request_id, labels, payload,
                        extra)
SELECT unnest($1::int8[]), unnest($2::int[]), unnest($3::timestamptz[]), unnest($4::int[]), unnest($5::int2[]),
       unnest($6::int8[]), unnest($7::int8[]), unnest($8::float8[]), unnest($9::float8[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]),
       unnest($16::text[]), unnest($17::jsonb[]), unnest($18::jsonb[]), unnest($19::jsonb[])
