-- Changes out of the ordinary. Arrays; $3 time, the same for all.
INSERT INTO joblog.transition (time, job_id, revision, from_status, to_status, actor, reason, request_id)
SELECT $3::timestamptz, unnest($1::int8[]), unnest($2::int8[]), unnest($4::int2[]), unnest($5::int2[]), unnest($6::text[]),
       unnest($7::text[]), unnest($8::text[])
