-- Ends token $1 for good; $2 who, $3 time. Rows: 1 when there is such a token; one that was revoked before stays as it was.
-- Safe to repeat. Locks the token, then the version.
WITH ended AS (
    UPDATE joblog.token SET revoker = $2::text, revoke_time = $3::timestamptz
    WHERE id = $1::text AND revoke_time IS NULL RETURNING id
), raised AS (
    UPDATE joblog.token_version SET number = number + 1 WHERE EXISTS (SELECT FROM ended) RETURNING number
)
SELECT 1 FROM joblog.token WHERE id = $1::text
