-- Forgets some files that are of no completed attempt: the server died between the file and the end of the attempt, and the
-- job ended otherwise. A job that may still run is left alone: its next attempt clears them.
-- $1 how many at most (int). Rows: job id, lease token, storage. Rows that others lock are left out. May be repeated.
DELETE FROM joblog.export_file f
WHERE f.job_id = ANY (ARRAY (
        SELECT e.job_id FROM joblog.export_file e JOIN joblog.job_state s ON s.id = e.job_id
        WHERE e.gone = 0 AND s.status >= 3 AND NOT (s.status = 3 AND s.last_token = e.token)
          AND NOT EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = e.job_id)
        LIMIT $1::int FOR UPDATE OF e SKIP LOCKED))
RETURNING f.job_id, f.token, f.storage::int
