-- Students who are flagged in an attempt, with what for.

-- name: list_flagged
-- In the order of `place`, which `sort` says, then of the attempt; after these two, where given. `exam_id`, `flag`, `risk_level`,
-- `dropout_label`: only those, where given. Found by the index of what is flagged, of the caller's exams.
WITH flagged AS MATERIALIZED (
    SELECT b.attempt_id,
           CASE :sort::text
               WHEN 'urgency' THEN coalesce(b.alert_rank, 9) * 1e12::float8 - date_part('epoch', coalesce(b.completed_at, '9999-01-01Z'))
               WHEN 'risk' THEN -coalesce(b.peak_risk_score, -1)
               WHEN 'integrity' THEN coalesce(b.integrity_score, 2)
               ELSE -date_part('epoch', coalesce(b.completed_at, '9999-01-01Z'))
           END::float8 AS place
    FROM reporting.behavior_analysis b
    WHERE (b.requires_instructor_attention OR b.requires_recap OR b.dropout_label <> 'safe')
      AND b.exam_id = ANY (ARRAY(SELECT * FROM analysed_exam_ids()))
      AND (:exam_id::uuid IS NULL OR b.exam_id = :exam_id)
      AND CASE :flag::text WHEN 'requires_instructor_attention' THEN b.requires_instructor_attention
                           WHEN 'requires_recap' THEN b.requires_recap
                           WHEN 'dropout_risk' THEN b.dropout_label <> 'safe' ELSE true END
      AND (:risk_level::text IS NULL OR b.risk_level = :risk_level)
      AND (:dropout_label::text IS NULL OR b.dropout_label = :dropout_label)
), page AS (
    SELECT * FROM flagged
    WHERE :place::float8 IS NULL OR (place, attempt_id) > (:place, :attempt_id::uuid)
    ORDER BY place, attempt_id
    LIMIT :limit
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
