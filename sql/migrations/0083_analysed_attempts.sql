-- What V denormalises beside an attempt and a profile is read where it is computed: nobody ever wrote it there, and a candidate reads
-- the row of their own attempt. Whoever may see what was made of an attempt sees it here, in one look-up by its id; a candidate
-- sees nulls (spec.md, decisions 6 and 15).

-- squawk-ignore ban-drop-column
ALTER TABLE exam_attempts DROP COLUMN integrity_score, DROP COLUMN lmi, DROP COLUMN dropout_label, DROP COLUMN flagged;
CREATE VIEW analysed_attempts WITH (security_invoker = true) AS
SELECT a.id, a.exam_id, a.student_id, a.status, a.score, a.max_score, a.percentage, a.passed, b.integrity_score, b.lmi_score AS lmi,
       b.dropout_label, coalesce(b.flagged, false) AS flagged, a.started_at, a.completed_at, a.duration_seconds, a.submission_data,
       a.metadata
FROM exam_attempts a
LEFT JOIN reporting.behavior_analysis b ON b.attempt_id = a.id;
GRANT SELECT ON analysed_attempts TO veritas_core;
COMMENT ON VIEW analysed_attempts IS 'exam_attempts with every column of veritas-architecture.txt.';

-- squawk-ignore ban-drop-column
ALTER TABLE student_profiles DROP COLUMN cumulative_integrity_score, DROP COLUMN cumulative_lmi, DROP COLUMN total_exams_attempted;
-- squawk-ignore ban-drop-column
ALTER TABLE student_profiles DROP COLUMN total_exams_passed, DROP COLUMN current_dropout_risk, DROP COLUMN flagged_for_review;
