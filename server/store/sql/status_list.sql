-- The catalogue of statuses in language $1 (as a person may write a tag: "es", "es-MX", "ES_es"). Labels: of that language, else
-- of its primary subtag, else English, else the name. Rows: status, name, label, color, icon.
WITH asked AS (
    SELECT t.tag, substring(t.tag FROM '^[a-z]+') AS main FROM (SELECT lower(translate($1::text, '_', '-')) AS tag) t
)
SELECT l.status, l.name, coalesce(c.label, l.name), l.color, l.icon
FROM joblog.status_look l CROSS JOIN asked a
LEFT JOIN LATERAL (
    SELECT c.label FROM joblog.status_catalogue c, lower(translate(c.language, '_', '-')) AS tag
    WHERE c.status = l.status AND tag IN (a.tag, a.main, 'en')
    ORDER BY (c.language = $1::text) DESC, (tag = a.tag) DESC, (tag = a.main) DESC, c.language
    LIMIT 1
) c ON true
ORDER BY l.status
