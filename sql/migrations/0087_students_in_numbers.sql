-- Who is flagged, and what a student's teachers see of them in numbers (V, GET /teacher/students/{student_id}).

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX behavior_analysis_students_flagged ON reporting.behavior_analysis (exam_id)
    WHERE requires_instructor_attention OR requires_recap OR dropout_label <> 'safe';

-- Numbers of a student are of all their exams together: whoever may see the analytics of some of these would learn of the others.
-- In its owner's name, since a teacher sees none of the others' attempts.
CREATE FUNCTION wholly_analysed(student uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM exam_attempts WHERE student_id = student)
       AND NOT EXISTS (SELECT FROM exam_attempts a
                       WHERE a.student_id = student AND a.exam_id NOT IN (SELECT exam_id FROM analysed_exams))
$$;
REVOKE ALL ON FUNCTION wholly_analysed(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wholly_analysed(uuid) TO veritas_core;
COMMENT ON FUNCTION wholly_analysed IS 'Whether the asker may see the analytics of every exam that a student has begun.';

ALTER POLICY asker ON reporting.performance_metrics
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN wholly_analysed(student_id)
           END);
ALTER POLICY asker ON reporting.student_risk_summary
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN wholly_analysed(student_id)
           END);

CREATE OR REPLACE FUNCTION reporting.guard(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns text[] := ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = guarded AND attnum > 0 AND NOT attisdropped);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
    EXECUTE format('CREATE POLICY granted ON %s TO veritas_pipeline, veritas_analyst USING (true)', guarded);
    EXECUTE format('CREATE POLICY asker ON %s TO veritas_core USING (CASE (SELECT asker_view())'
                   ' WHEN ''organisation'' THEN organisation_id = (SELECT asker_organisation())'
                   ' WHEN ''staff'' THEN %s END)', guarded,
                   CASE WHEN 'exam_id' = ANY (columns) THEN 'exam_id IN (SELECT * FROM reached_exam_ids())'
                        ELSE 'wholly_analysed(student_id)' END);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO veritas_pipeline', guarded);
    EXECUTE format('GRANT SELECT ON %s TO veritas_core, veritas_analyst', guarded);
END
$$;
COMMENT ON FUNCTION reporting.guard IS
    'Grants and row security of a projected table with organisation_id, and exam_id or student_id: staff of the exam, or whoever may analyse every exam of the student, and no candidate.';
