-- One student in numbers, as far as the asker may see: of exams whose analytics they may see, and of all of the student's exams
-- together where these are those (row security).

-- name: fetch_student
-- $1 student_id uuid. No row where the asker may see the analytics of no exam that they have begun.
SELECT u.id AS student_id, u.full_name, u.email, s.enrollment_id, s.cohort, NOT wholly_analysed(u.id) AS is_partial
FROM users u
LEFT JOIN student_profiles s ON s.user_id = u.id
WHERE u.id = $1 AND u.role = 'student'
  AND EXISTS (SELECT FROM exam_attempts a WHERE a.student_id = u.id AND a.exam_id IN (SELECT * FROM analysed_exam_ids()));

-- name: sum_standing
-- $1 student_id uuid. Results that are void are in no mean.
SELECT count(DISTINCT a.exam_id) AS exams, count(*) AS attempts, count(*) FILTER (WHERE a.status = 'completed') AS completed,
       count(*) FILTER (WHERE s.passed AND NOT s.is_void) AS passed,
       round(avg(s.percentage::numeric) FILTER (WHERE NOT s.is_void), 6)::float8 AS avg_score,
       round(avg(b.integrity_score::numeric), 6)::float8 AS avg_integrity,
       count(*) FILTER (WHERE b.flagged) AS flagged_count, count(b.alert_rank) AS alerting_count
FROM exam_attempts a
LEFT JOIN reporting.submissions s ON s.attempt_id = a.id
LEFT JOIN reporting.behavior_analysis b ON b.attempt_id = a.id
WHERE a.student_id = $1 AND a.exam_id IN (SELECT * FROM analysed_exam_ids());

-- name: fetch_metrics
-- $1 student_id uuid
SELECT total_attempts, total_passed, avg_score, subject_scores, strengths, weaknesses, improvement_trend, avg_integrity_score,
       integrity_trend, avg_lmi, lmi_trend, current_risk_label, flagged_for_intervention, last_attempt_date, metric_version,
       coverage, reasons, as_of
FROM reporting.performance_metrics
WHERE student_id = $1;

-- name: fetch_risk
-- $1 student_id uuid
SELECT current_dropout_risk, cumulative_integrity, cumulative_lmi, attempt_count, flagged_count, last_attempt, metric_version,
       coverage, reasons, as_of
FROM reporting.student_risk_summary
WHERE student_id = $1;

-- name: list_attempts
-- The newest first, after the attempt `cursor`, where given.
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, a.status, a.started_at, a.completed_at, s.score, s.percentage, s.passed,
       coalesce(s.is_void, false) AS is_void, b.requires_instructor_attention, b.requires_recap, b.total_monitoring_events,
       b.anomaly_count, b.critical_events, b.peak_risk_score, b.risk_level, b.integrity_score, b.integrity_band,
       b.originality_indicators, b.lmi_score, b.improvement_trend, b.dropout_label, b.dropout_confidence, b.recommended_action,
       b.llm_summary AS summary, b.llm_recommendations AS recommendations, b.llm_model_version AS summary_version, b.alerts,
       b.reasons, b.metric_version, b.coverage, b.as_of
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
LEFT JOIN reporting.submissions s ON s.attempt_id = a.id
LEFT JOIN reporting.behavior_analysis b ON b.attempt_id = a.id
WHERE a.student_id = :student_id AND a.exam_id IN (SELECT * FROM analysed_exam_ids())
  AND (:cursor::uuid IS NULL
       OR (a.started_at, a.id) < (SELECT c.started_at, c.id FROM exam_attempts c WHERE c.id = :cursor))
ORDER BY a.started_at DESC, a.id DESC
LIMIT :limit;
