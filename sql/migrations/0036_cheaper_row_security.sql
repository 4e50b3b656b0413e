-- Row security costs a statement what its policies' plans cost to set up, whoever asks and whatever is run of them: with the
-- rule on reached exams written out in each policy, a hand-in's statements carried some six hundred plan nodes, of which a
-- candidate runs forty, and row security was a third of what a hand-in costs. What staff alone need stands behind two functions
-- now: a node each, called once a statement and only where a row asks for it. What anybody sees stays the same.
--
-- A function is not called for each row: that costs a hundred times as much as looking into what one call has returned.

CREATE VIEW organisation_exams AS
SELECT id AS exam_id FROM exams WHERE organisation_id = (SELECT asker_organisation()) AND (SELECT asker_view()) = 'organisation';
GRANT SELECT ON organisation_exams TO veritas_core;

CREATE FUNCTION reached_exam_ids() RETURNS SETOF uuid LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 AS $$
BEGIN
    RETURN QUERY SELECT exam_id FROM public.reached_exams;
END
$$;
CREATE FUNCTION edited_exam_ids() RETURNS SETOF uuid LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 AS $$
BEGIN
    RETURN QUERY SELECT exam_id FROM public.edited_exams;
END
$$;
COMMENT ON FUNCTION reached_exam_ids() IS 'reached_exams, planned once a session. For staff: an organisation may have many.';
COMMENT ON FUNCTION edited_exam_ids() IS 'edited_exams, planned once a session.';

ALTER POLICY asker ON exams
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN creator_id = (SELECT asker()) OR id IN (SELECT * FROM reached_exam_ids())
               WHEN 'observer' THEN EXISTS (SELECT FROM observed_exams o WHERE o.exam_id = exams.id)
               WHEN 'candidate' THEN EXISTS (SELECT FROM own_attempts t WHERE t.exam_id = exams.id)
                                     OR (is_published AND organisation_id = (SELECT asker_organisation())
                                         AND (EXISTS (SELECT FROM reaching_assignments s WHERE s.exam_id = exams.id AND s.revoked_at IS NULL)
                                              OR NOT EXISTS (SELECT FROM restricted_exams r WHERE r.exam_id = exams.id)))
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation())
                AND CASE (SELECT asker_view())
                        WHEN 'organisation' THEN true
                        WHEN 'staff' THEN creator_id = (SELECT asker()) OR id IN (SELECT * FROM reached_exam_ids())
                    END);
ALTER POLICY asker ON assignments
    USING (CASE (SELECT asker_view())
               WHEN 'candidate' THEN id IN (SELECT id FROM reaching_assignments)
               WHEN 'organisation' THEN EXISTS (SELECT FROM organisation_exams o WHERE o.exam_id = assignments.exam_id)
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
ALTER POLICY asker ON exam_attempts
    USING (CASE (SELECT asker_view())
               WHEN 'candidate' THEN student_id = (SELECT asker())
               WHEN 'organisation' THEN EXISTS (SELECT FROM organisation_exams o WHERE o.exam_id = exam_attempts.exam_id)
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
ALTER POLICY asker ON submissions
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               ELSE author_id = (SELECT asker())
           END);
ALTER POLICY asker ON proctor_sessions
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               ELSE candidate_id = (SELECT asker())
           END);

ALTER POLICY edited ON exams
    USING (CASE (SELECT asker_view()) WHEN 'staff' THEN id IN (SELECT * FROM edited_exam_ids()) ELSE true END);
ALTER POLICY edited ON assignments
    USING (CASE (SELECT asker_view()) WHEN 'staff' THEN exam_id IN (SELECT * FROM edited_exam_ids()) ELSE true END);
ALTER POLICY edited ON exam_attempts
    USING (CASE (SELECT asker_view()) WHEN 'staff' THEN exam_id IN (SELECT * FROM edited_exam_ids()) ELSE true END);
