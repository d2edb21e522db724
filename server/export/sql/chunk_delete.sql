-- Removes the chunks that the attempts of one job wrote, but for those of one attempt.
-- $1 job id, $2 lease token of the attempt whose chunks stay; -1: none stay. No rows. May be repeated.
DELETE FROM joblog.export_chunk WHERE job_id = $1::bigint AND token <> $2::bigint
