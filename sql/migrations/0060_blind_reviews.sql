-- Blind double review (spec.md C-2): two people judge a session apart, a third decides where they disagree. Until the decision
-- is final nobody reads what somebody else has said, but whoever is to decide between the two.

ALTER TABLE exams ADD COLUMN double_review boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN exams.double_review IS 'Whether its sessions are reviewed by two people who do not know of one another.';
GRANT UPDATE (double_review) ON exams TO veritas_core;

ALTER TABLE teacher_exam_permissions ADD COLUMN can_adjudicate boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN teacher_exam_permissions.can_adjudicate IS 'Decide where two reviewers disagree, and see how often they do.';
GRANT UPDATE (can_adjudicate) ON teacher_exam_permissions TO veritas_core;

CREATE TABLE blind_reviews (
    session_id      bigint NOT NULL REFERENCES proctor_sessions,
    number          smallint NOT NULL CHECK (number IN (1, 2)),
    attempt_id      uuid NOT NULL REFERENCES exam_attempts,     -- down to organisation_id: the session's
    exam_id         uuid NOT NULL REFERENCES exams,
    candidate_id    uuid NOT NULL REFERENCES users,
    organisation_id uuid NOT NULL REFERENCES organisations,
    status          smallint NOT NULL CHECK (status IN (2, 3, 4)),
    reason_en       text CHECK (length(reason_en) BETWEEN 1 AND 2000),
    reason_ar       text CHECK (length(reason_ar) BETWEEN 1 AND 2000),
    internal_notes  text CHECK (length(internal_notes) BETWEEN 1 AND 4000),
    reviewed_by     uuid NOT NULL REFERENCES users,
    reviewed_at     timestamptz NOT NULL,
    PRIMARY KEY (session_id, number),
    CONSTRAINT reviewed_by_two UNIQUE (session_id, reviewed_by),
    CONSTRAINT reviewed_by_somebody_else CHECK (candidate_id <> reviewed_by),
    CONSTRAINT accused_with_a_reason CHECK (status NOT IN (3, 4) OR num_nonnulls(reason_en, reason_ar) > 0)
);
-- When a pair was whole, by exam and by organisation: agreement is told of a period.
CREATE INDEX blind_reviews_exam ON blind_reviews (exam_id, reviewed_at) WHERE number = 2;
CREATE INDEX blind_reviews_organisation ON blind_reviews (organisation_id, reviewed_at) WHERE number = 2;
COMMENT ON TABLE blind_reviews IS 'What each of two reviewers said of a session, without knowing of the other; never changed.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON blind_reviews FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON blind_reviews FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE blind_reviews ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE blind_reviews ENABLE ALWAYS TRIGGER kept;

-- Who has reviewed what waits: the queue shows each session to whom it waits for.
ALTER TABLE pending_reviews ADD COLUMN reviewed_by uuid[] NOT NULL DEFAULT '{}';
CREATE FUNCTION note_review() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE pending_reviews SET reviewed_by = array_append(reviewed_by, NEW.reviewed_by) WHERE session_id = NEW.session_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER noted AFTER INSERT ON blind_reviews FOR EACH ROW EXECUTE FUNCTION note_review();

-- -- an act of a decision more: what two reviewers have agreed on

-- A row a decision's act: what is checked again is little. It is wider than before, and every row fits.
-- squawk-ignore ban-drop-constraint
ALTER TABLE decision_acts DROP CONSTRAINT decision_acts_act_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE decision_acts ADD CONSTRAINT decision_acts_act_check CHECK (act IN ('made', 'finalised', 'overridden', 'agreed'));

-- -- who adjudicates, and who reads which review

CREATE VIEW adjudicated_exams AS
SELECT id AS exam_id FROM exams WHERE creator_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
UNION ALL
SELECT p.exam_id FROM teacher_exam_permissions p JOIN users u ON u.id = p.teacher_id
WHERE p.teacher_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
  AND p.can_view AND p.can_adjudicate AND u.role IN ('reviewer', 'teacher');
GRANT SELECT ON adjudicated_exams TO veritas_core;

-- As before, and whoever adjudicates decides.
CREATE OR REPLACE VIEW judged_exams AS
SELECT id AS exam_id FROM exams WHERE creator_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
UNION ALL
SELECT p.exam_id FROM teacher_exam_permissions p JOIN users u ON u.id = p.teacher_id
WHERE p.teacher_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
  AND CASE u.role WHEN 'reviewer' THEN p.can_view WHEN 'teacher' THEN p.can_edit OR (p.can_view AND p.can_adjudicate) END;

-- How far the reviews of a session are, for its staff; what they say only whether they agree. In its owner's name: a reviewer sees
-- no other's.
CREATE FUNCTION review_stage(of_session bigint) RETURNS TABLE (reviews bigint, has_reviewed boolean, agree boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*), coalesce(bool_or(reviewed_by = asker()), false), count(*) = 2 AND count(DISTINCT status) = 1
    FROM blind_reviews WHERE session_id = of_session AND organisation_id = asker_organisation()
$$;

-- Whether the asker may read both reviews of a session that they reach: once its decision is final; and before, once both are in,
-- if they are neither's and the asker adjudicates.
CREATE FUNCTION sees_reviews(of_session bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM proctor_decisions d WHERE d.session_id = of_session AND d.is_finalized)
           OR (SELECT count(*) = 2 AND NOT bool_or(b.reviewed_by = asker())
                      AND bool_and(asker_view() = 'organisation' OR b.exam_id IN (SELECT exam_id FROM adjudicated_exams))
               FROM blind_reviews b WHERE b.session_id = of_session)
$$;
REVOKE ALL ON FUNCTION note_review, review_stage, sees_reviews FROM PUBLIC;
GRANT EXECUTE ON FUNCTION review_stage, sees_reviews TO veritas_core;

ALTER TABLE blind_reviews ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON blind_reviews TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON blind_reviews TO veritas_pipeline USING (true);
CREATE POLICY asker ON blind_reviews TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END AND (reviewed_by = (SELECT asker()) OR sees_reviews(session_id)));
CREATE POLICY reviewed_in ON blind_reviews AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (reviewed_by = (SELECT asker())
                AND CASE (SELECT asker_view())
                        WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
                        WHEN 'staff' THEN exam_id IN (SELECT * FROM judged_exam_ids())
                    END);
GRANT SELECT, INSERT ON blind_reviews TO veritas_core;
GRANT SELECT ON blind_reviews TO veritas_pipeline;

-- -- what the ledger commits to

CREATE FUNCTION record_of_reviews(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'review ' || b.number, json_build_array(
        b.attempt_id, b.exam_id, b.candidate_id, b.organisation_id, b.status, b.reason_en, b.reason_ar, b.internal_notes,
        b.reviewed_by, b.reviewed_at)::text
    FROM blind_reviews b WHERE b.session_id = of_id::bigint;
END
$$;
REVOKE ALL ON FUNCTION record_of_reviews FROM PUBLIC;

-- As before where nobody is reviewed twice and nobody adjudicates: every event that was made with the definition of before still
-- says what the rows say.
CREATE OR REPLACE FUNCTION record_of_exam(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'exam', json_build_array(x.organisation_id, x.creator_id, x.title, x.description, x.subject, x.topic, x.max_score,
                                    x.duration_minutes, x.passing_score, x.is_published, x.published_at, x.enable_monitoring,
                                    x.enable_integrity_analysis, x.metadata, x.evaluation_version_id, x.archived_at)::text
                   || CASE WHEN x.double_review THEN ' double review' ELSE '' END
    FROM exams x WHERE x.id = of_id::uuid;
END
$$;
CREATE OR REPLACE FUNCTION record_of_permission(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'permission', json_build_array(t.can_view, t.can_edit, t.can_view_analytics)::text
                         || CASE WHEN t.can_manage_students THEN ' manages students' ELSE '' END
                         || CASE WHEN t.can_adjudicate THEN ' adjudicates' ELSE '' END
    FROM teacher_exam_permissions t WHERE t.exam_id = of_id::uuid AND t.teacher_id = of_subject;
END
$$;
