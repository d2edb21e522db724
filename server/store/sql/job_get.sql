-- Jobs as they are now, whole. $1 ids. Rows: the columns of joblog.job_now.
SELECT n.* FROM unnest($1::int8[]) u(id) JOIN joblog.job_now n ON n.id = u.id
