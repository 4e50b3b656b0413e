-- $1 keys as text, or null for all. How many rows each has, in the order of keys.
SELECT {key}::text AS key, count(*) AS rows
FROM reporting.{dataset}
WHERE $1::text[] IS NULL OR {key} = ANY ($1::text[]::{key_type}[])
GROUP BY {key}
ORDER BY {key}
