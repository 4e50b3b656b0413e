-- $1 keys as text, or null for all
SELECT {columns}
FROM reporting.{dataset}
WHERE $1::text[] IS NULL OR {key} = ANY ($1::text[]::{key_type}[])
ORDER BY {order}
