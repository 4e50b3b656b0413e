-- $1 rows as a JSON array of objects, $2 keys as text that they are all of. What is another, is new or is no more comes back,
-- and nothing else is written.
WITH given AS MATERIALIZED (
    SELECT {columns} FROM json_populate_recordset(NULL::reporting.{dataset}, $1::text::json)
), gone AS (
    DELETE FROM reporting.{dataset} t
    WHERE t.{key} = ANY ($2::text[]::uuid[]) AND ({primary}) NOT IN (SELECT {primary} FROM given)
    RETURNING {returned}
), changed AS (
    INSERT INTO reporting.{dataset} AS t ({columns})
    SELECT {columns} FROM given ORDER BY {primary}
    ON CONFLICT ({primary}) DO UPDATE SET ({columns}) = ROW ({excluded})
    WHERE ROW ({current}) IS DISTINCT FROM ROW ({excluded})
    RETURNING {returned}
)
SELECT DISTINCT * FROM (SELECT * FROM gone UNION ALL SELECT * FROM changed) w
