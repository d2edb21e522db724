-- Takes away one file whose time is over; its row stays to tell.
-- $1 now. One row: job id, lease token, storage; no row when there is none (or others are at it). May be repeated.
UPDATE joblog.export_file SET gone = 1
WHERE job_id = (SELECT job_id FROM joblog.export_file WHERE gone = 0 AND expire_time <= $1::timestamptz
                ORDER BY expire_time LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING job_id, token, storage::int
