-- The catalogue of statuses in language $1, or in English where that has no label. Rows: status, name, label, color, icon.
SELECT l.status, l.name, coalesce(c.label, e.label, l.name), l.color, l.icon
FROM joblog.status_look l
LEFT JOIN joblog.status_catalogue c ON c.status = l.status AND c.language = $1::text
LEFT JOIN joblog.status_catalogue e ON e.status = l.status AND e.language = 'en'
ORDER BY l.status
