-- $1 exam id
SELECT {columns}
FROM reporting.{dataset}
WHERE exam_id = $1
ORDER BY {order}
