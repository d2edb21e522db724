-- Has a token been made or revoked? Rows: one, the number.
SELECT number FROM joblog.token_version
