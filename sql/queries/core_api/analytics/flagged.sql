-- Students who are flagged in an attempt, with what for.

-- name: list_flagged
-- In the order of `place`, which `sort` says, then of the attempt; after these two, where given. `exam_id`, `flag`, `risk_level`,
-- `dropout_label`: only those, where given. Of a caller with many exams the most urgent are met in the order of their index; else
-- all that are flagged in the caller's exams are looked at, in an index too. Planned for what is asked: one plan for all of it sorts
-- everybody where it need not (of 45,000 who are flagged in 2,000 exams, 260 ms in place of 14).
WITH own AS MATERIALIZED (
    SELECT ARRAY(SELECT * FROM analysed_exam_ids()) AS ids
), flagged AS NOT MATERIALIZED (
    SELECT b.attempt_id, b.exam_id,
           coalesce(b.alert_rank, 9) * 1e12::float8
           - date_part('epoch', coalesce(b.completed_at, '9999-01-01Z'::timestamptz) AT TIME ZONE 'UTC') AS urgency,
           CASE :sort::text
               WHEN 'risk' THEN -coalesce(b.peak_risk_score, -1)
               WHEN 'integrity' THEN coalesce(b.integrity_score, 2)
               ELSE -date_part('epoch', coalesce(b.completed_at, '9999-01-01Z'))
           END::float8 AS otherwise
    FROM reporting.behavior_analysis b
    WHERE (b.requires_instructor_attention OR b.requires_recap OR b.dropout_label <> 'safe')
      AND (:exam_id::uuid IS NULL OR b.exam_id = :exam_id)
      AND CASE :flag::text WHEN 'requires_instructor_attention' THEN b.requires_instructor_attention
                           WHEN 'requires_recap' THEN b.requires_recap
                           WHEN 'dropout_risk' THEN b.dropout_label <> 'safe' ELSE true END
      AND (:risk_level::text IS NULL OR b.risk_level = :risk_level)
      AND (:dropout_label::text IS NULL OR b.dropout_label = :dropout_label)
), page AS MATERIALIZED (
    (SELECT attempt_id, urgency AS place FROM flagged
     WHERE :sort = 'urgency' AND (SELECT cardinality(ids) > 50 FROM own)
       AND CASE WHEN exam_id = ANY ((SELECT ids FROM own)::uuid[]) THEN true END
       AND (urgency, attempt_id) > (coalesce(:place::float8, '-Infinity'),
                                    coalesce(:attempt_id::uuid, '00000000-0000-0000-0000-000000000000'))
     ORDER BY urgency, attempt_id
     LIMIT :limit)
    UNION ALL
    (SELECT attempt_id, place
     FROM (SELECT attempt_id, CASE :sort WHEN 'urgency' THEN urgency ELSE otherwise END AS place FROM flagged
           WHERE exam_id = ANY ((SELECT ids FROM own)::uuid[])) f
     WHERE (:sort <> 'urgency' OR (SELECT cardinality(ids) <= 50 FROM own))
       AND (:place::float8 IS NULL OR (place, attempt_id) > (:place, :attempt_id::uuid))
     ORDER BY place, attempt_id
     LIMIT :limit)
)
SELECT p.place, b.student_id, u.full_name AS student_name, b.attempt_id, b.exam_id, e.title AS exam_title, b.completed_at,
       b.requires_instructor_attention, b.requires_recap, b.peak_risk_score, b.risk_level, b.integrity_score, b.integrity_band,
       b.lmi_score, b.dropout_label, b.dropout_confidence, b.recommended_action, b.alerts, b.reasons, b.metric_version,
       b.coverage, b.as_of
FROM page p
JOIN reporting.behavior_analysis b ON b.attempt_id = p.attempt_id
JOIN exams e ON e.id = b.exam_id
JOIN users u ON u.id = b.student_id
ORDER BY p.place, p.attempt_id;
