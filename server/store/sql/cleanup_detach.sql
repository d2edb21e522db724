-- Takes month $1 out of the tables. Fails (55P03) when that would make others wait; then nothing has happened.
SELECT joblog.detach_month($1::text)
