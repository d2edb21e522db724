-- Deletes month $1, which was taken out, with all that belongs to its jobs. Row: how many jobs, -1 when it lives and was put back. Touches no row that a batch needs.
SELECT joblog.forget_month($1::text)
