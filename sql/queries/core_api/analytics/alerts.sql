-- Attempts in which something stands out, and who has looked at them. What alerts is what was projected.

-- name: list_alerts
-- The most urgent first, then the latest; one that runs still before those that are over. `rank`, `ended_at`, `attempt_id`: after
-- this one. `exam_id`, `code`, `acknowledged`: only those, where given. Of a caller with many exams they are met in the order of their
-- index; else all that alert in the caller's exams are looked at. What is shown is read of the page alone.
WITH own AS MATERIALIZED (
    SELECT ids, :exam_id::uuid IS NULL AND cardinality(ids) > 50 AS are_many
    FROM (SELECT ARRAY(SELECT * FROM analysed_exam_ids()) AS ids) o
), after AS MATERIALIZED (
    SELECT coalesce(:rank::smallint * 1e12::float8 - date_part('epoch', :ended_at::timestamptz AT TIME ZONE 'UTC'), '-Infinity')
               AS urgency,
           coalesce(:attempt_id::uuid, '00000000-0000-0000-0000-000000000000') AS attempt_id
), alerting AS NOT MATERIALIZED (
    SELECT b.attempt_id, b.exam_id, b.alert_rank, coalesce(b.completed_at, '9999-01-01Z'::timestamptz) AS ended_at,
           b.alert_rank * 1e12::float8
           - date_part('epoch', coalesce(b.completed_at, '9999-01-01Z'::timestamptz) AT TIME ZONE 'UTC') AS urgency
    FROM reporting.behavior_analysis b
    WHERE b.alert_rank IS NOT NULL
      AND (:code::text IS NULL OR b.alerts @> jsonb_build_array(jsonb_build_object('code', :code)))
      AND (:acknowledged::boolean IS NULL
           OR coalesce((SELECT k.codes @> ARRAY(SELECT a ->> 'code' FROM jsonb_array_elements(b.alerts) a)
                        FROM alert_acknowledgements k WHERE k.attempt_id = b.attempt_id), false) = :acknowledged)
), page AS MATERIALIZED (
    (SELECT attempt_id, alert_rank, ended_at, urgency
     FROM alerting
     WHERE (SELECT are_many FROM own)
       AND CASE WHEN exam_id = ANY ((SELECT ids FROM own)::uuid[]) THEN true END
       AND (urgency, attempt_id) > ((SELECT urgency FROM after), (SELECT attempt_id FROM after))
     ORDER BY urgency, attempt_id
     LIMIT :limit)
    UNION ALL
    (SELECT attempt_id, alert_rank, ended_at, urgency
     FROM alerting
     WHERE NOT (SELECT are_many FROM own)
       AND exam_id = ANY ((SELECT ids FROM own)::uuid[]) AND (:exam_id::uuid IS NULL OR exam_id = :exam_id)
       AND (urgency, attempt_id) > ((SELECT urgency FROM after), (SELECT attempt_id FROM after))
     ORDER BY urgency, attempt_id
     LIMIT :limit)
)
SELECT b.attempt_id, b.exam_id, e.title AS exam_title, b.student_id, u.full_name AS student_name, b.completed_at, b.risk_level,
       b.integrity_band, b.recommended_action, b.alerts, p.alert_rank, p.ended_at, b.as_of, k.acknowledged_by,
       coalesce(ku.full_name, '') AS acknowledged_by_name, k.acknowledged_at, k.note,
       coalesce(k.codes @> ARRAY(SELECT a ->> 'code' FROM jsonb_array_elements(b.alerts) a), false) AS is_acknowledged
FROM page p
JOIN reporting.behavior_analysis b ON b.attempt_id = p.attempt_id
JOIN exams e ON e.id = b.exam_id
JOIN users u ON u.id = b.student_id
LEFT JOIN alert_acknowledgements k ON k.attempt_id = b.attempt_id
LEFT JOIN users ku ON ku.id = k.acknowledged_by
ORDER BY p.urgency, p.attempt_id;

-- name: put_acknowledgement
-- Whether anything is another than before.
INSERT INTO alert_acknowledgements AS k (attempt_id, exam_id, organisation_id, codes, note, acknowledged_by, acknowledged_at)
SELECT a.id, a.exam_id, e.organisation_id, :codes::text[], :note, :user_id, :at
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = :attempt_id
ON CONFLICT (attempt_id) DO UPDATE SET
    codes = excluded.codes, note = excluded.note, acknowledged_by = excluded.acknowledged_by, acknowledged_at = excluded.acknowledged_at
WHERE (k.codes, k.note, k.acknowledged_by) IS DISTINCT FROM (excluded.codes, excluded.note, excluded.acknowledged_by)
RETURNING true;

-- name: fetch_alert
-- $1 attempt id. As `list_alerts` has it.
SELECT b.attempt_id, b.exam_id, e.title AS exam_title, b.student_id, u.full_name AS student_name, b.completed_at, b.risk_level,
       b.integrity_band, b.recommended_action, b.alerts, b.as_of, k.acknowledged_by,
       coalesce(ku.full_name, '') AS acknowledged_by_name, k.acknowledged_at, k.note,
       coalesce(k.codes @> s.codes, false) AS is_acknowledged
FROM reporting.behavior_analysis b
JOIN exams e ON e.id = b.exam_id
JOIN users u ON u.id = b.student_id
CROSS JOIN LATERAL (SELECT array_agg(a ->> 'code') AS codes FROM jsonb_array_elements(b.alerts) a) s
LEFT JOIN alert_acknowledgements k ON k.attempt_id = b.attempt_id
LEFT JOIN users ku ON ku.id = k.acknowledged_by
WHERE b.attempt_id = $1 AND b.alert_rank IS NOT NULL AND b.exam_id IN (SELECT * FROM analysed_exam_ids());
