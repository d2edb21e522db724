-- Is one of these files in a directory of an export that this database has, or had?
-- $1 job ids, $2 lease tokens of the files (bigint[]). One row: 1 or 0 (int).
SELECT (EXISTS (SELECT FROM unnest($1::bigint[], $2::bigint[]) AS f (job_id, token)
                WHERE EXISTS (SELECT FROM joblog.export_file e WHERE e.job_id = f.job_id AND e.token = f.token)
                   OR EXISTS (SELECT FROM joblog.export_writing w WHERE w.job_id = f.job_id AND w.token = f.token)
                   OR EXISTS (SELECT FROM joblog.job_state t WHERE t.id = f.job_id)))::int
