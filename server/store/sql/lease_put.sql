-- Progress and renewals of leases that are still there; others are left out. Arrays but for none. Safe to repeat.
UPDATE joblog.lease l
SET revision = greatest(l.revision, u.revision), percent = u.percent, done = u.done, total = u.total, unit = u.unit,
    step = u.step, eta = u.eta, expire_time = u.expire_time
FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::float8[], $5::int8[], $6::int8[], $7::text[], $8::text[],
            $9::timestamptz[], $10::timestamptz[])
     u(job_id, token, revision, percent, done, total, unit, step, eta, expire_time)
WHERE l.job_id = u.job_id AND l.token = u.token
