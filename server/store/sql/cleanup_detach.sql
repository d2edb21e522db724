-- Takes month $2 out of the table $1, if it is in it. Fails (55P03) when that would make others wait; then nothing has happened.
SELECT joblog.detach_month_of($1::text, $2::text)
