-- Who is flagged is sorted by the index alone, however many there are in the exams of who asks: rows are read for the page.

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX reporting.behavior_analysis_students_flagged;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX behavior_analysis_students_flagged ON reporting.behavior_analysis (exam_id)
    INCLUDE (attempt_id, requires_instructor_attention, requires_recap, dropout_label, alert_rank, completed_at, peak_risk_score,
             risk_level, integrity_score)
    WHERE requires_instructor_attention OR requires_recap OR dropout_label <> 'safe';

-- How many attempts an exam has, by indexes alone, for whoever may see its analytics. In its owner's name: row security would ask of
-- each of ten thousand what is asked of the exam here, once.
CREATE FUNCTION counted_attempts(of_exam uuid)
    RETURNS TABLE (total bigint, students bigint, in_progress bigint, abandoned bigint, void bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.total, t.students, r.in_progress, b.abandoned, v.void
    FROM (SELECT count(*) AS total, count(DISTINCT student_id) AS students FROM exam_attempts WHERE exam_id = of_exam) t
    CROSS JOIN (SELECT count(*) AS in_progress FROM exam_attempts WHERE exam_id = of_exam AND status = 'in_progress') r
    CROSS JOIN (SELECT count(*) AS abandoned FROM exam_attempts WHERE exam_id = of_exam AND status = 'abandoned') b
    CROSS JOIN (SELECT count(*) AS void FROM submission_results WHERE exam_id = of_exam AND is_void) v
    WHERE EXISTS (SELECT FROM analysed_exams x WHERE x.exam_id = of_exam)
$$;
REVOKE ALL ON FUNCTION counted_attempts(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION counted_attempts(uuid) TO veritas_core;
COMMENT ON FUNCTION counted_attempts IS 'Attempts of an exam by status, and those whose result is void; no row unless the asker may see its analytics.';
