-- Does a file in the directory belong to somebody?
-- $1 job id, $2 lease token. One row: 1 when it is a file that is there or is being written, else 0 (int).
SELECT (EXISTS (SELECT FROM joblog.export_file f WHERE f.job_id = $1::bigint AND f.token = $2::bigint AND f.gone = 0)
        OR EXISTS (SELECT FROM joblog.export_writing w WHERE w.job_id = $1::bigint AND w.token = $2::bigint))::int
