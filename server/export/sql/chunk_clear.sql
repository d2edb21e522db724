-- Removes the chunks that other attempts of a job wrote. Only for the attempt that has the lease: all others are over.
-- $1 job id, $2 lease token of the attempt whose chunks stay. No rows. May be repeated.
DELETE FROM joblog.export_chunk WHERE job_id = $1::bigint AND token <> $2::bigint
