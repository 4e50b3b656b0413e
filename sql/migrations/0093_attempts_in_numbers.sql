-- What staff read of an attempt together with what was made of it stands in one view; an exam's students are listed by it.
CREATE OR REPLACE VIEW analysed_attempts WITH (security_invoker = true) AS
SELECT a.id, a.exam_id, a.student_id, a.status, a.score, a.max_score, a.percentage, a.passed, b.integrity_score, b.lmi_score AS lmi,
       b.dropout_label, coalesce(b.flagged, false) AS flagged, a.started_at, a.completed_at, a.duration_seconds, a.submission_data,
       a.metadata, b.risk_level, b.integrity_band
FROM exam_attempts a
LEFT JOIN reporting.behavior_analysis b ON b.attempt_id = a.id;
COMMENT ON VIEW analysed_attempts IS
    'exam_attempts with every column of veritas-architecture.txt, and the bands of risk and integrity beside them: what was made of an '
    'attempt as the reader may see it, null where they may not.';
