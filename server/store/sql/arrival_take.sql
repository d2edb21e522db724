-- Takes up jobs that were dispatched from SQL, oldest first, at most 500. Rows: the columns of joblog.job_now. Waits for nobody.
WITH picked AS MATERIALIZED (
    SELECT a.id FROM joblog.arrival a ORDER BY a.id LIMIT 500 FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM joblog.arrival a USING picked p WHERE a.id = p.id RETURNING a.id
)
SELECT n.* FROM taken t JOIN joblog.job_now n ON n.id = t.id ORDER BY t.id
