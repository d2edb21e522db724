-- Removes the chunks that earlier attempts of an export left.
-- $1 job id, $2 lease token of the attempt whose chunks stay. No rows. May be repeated.
DELETE FROM joblog.export_chunk WHERE job_id = $1 AND token <> $2
