-- Decisions about proctor sessions, the results that they make void, and who is at work on which session (spec.md C-1, C-2; P,
-- "Decision Workflow"). Candidates see nothing of it but that their result is void.

-- -- decisions: one for each session

CREATE TABLE proctor_decisions (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id      bigint NOT NULL UNIQUE REFERENCES proctor_sessions,
    attempt_id      uuid NOT NULL REFERENCES exam_attempts,     -- down to organisation_id: the session's
    exam_id         uuid NOT NULL REFERENCES exams,
    candidate_id    uuid NOT NULL REFERENCES users,
    organisation_id uuid NOT NULL REFERENCES organisations,
    status          smallint NOT NULL CHECK (status BETWEEN 1 AND 5),
    reason_en       text CHECK (length(reason_en) BETWEEN 1 AND 2000),
    reason_ar       text CHECK (length(reason_ar) BETWEEN 1 AND 2000),
    internal_notes  text CHECK (length(internal_notes) BETWEEN 1 AND 4000),
    decided_by      uuid NOT NULL REFERENCES users,
    decided_at      timestamptz NOT NULL,
    is_finalized    boolean NOT NULL,
    previous_status smallint CHECK (previous_status BETWEEN 1 AND 5),   -- from here: of the newest override
    overridden_by   uuid REFERENCES users,
    overridden_at   timestamptz,
    override_reason text CHECK (length(override_reason) BETWEEN 1 AND 2000),
    CONSTRAINT decided_by_somebody_else CHECK (candidate_id <> decided_by AND candidate_id IS DISTINCT FROM overridden_by),
    CONSTRAINT final_is_a_verdict CHECK (NOT is_finalized OR status IN (2, 3, 4)),
    CONSTRAINT accused_with_a_reason CHECK (status NOT IN (3, 4) OR num_nonnulls(reason_en, reason_ar) > 0),
    CONSTRAINT override_is_whole CHECK (num_nonnulls(previous_status, overridden_by, overridden_at, override_reason) IN (0, 4)),
    CONSTRAINT override_is_final CHECK (overridden_by IS NULL OR is_finalized)
);
CREATE INDEX proctor_decisions_attempt ON proctor_decisions (attempt_id);
CREATE INDEX proctor_decisions_exam ON proctor_decisions (exam_id, status);
CREATE INDEX proctor_decisions_decided ON proctor_decisions (status, decided_at);
COMMENT ON COLUMN proctor_decisions.status IS '1 Pending, 2 Cleared, 3 Suspicious, 4 Invalidated, 5 Escalated.';

-- What was done about each, in order; the newest is what stands above.
CREATE TABLE decision_acts (
    decision_id     bigint NOT NULL REFERENCES proctor_decisions,
    number          integer NOT NULL CHECK (number > 0),
    act             text NOT NULL CHECK (act IN ('made', 'finalised', 'overridden')),
    status          smallint NOT NULL CHECK (status BETWEEN 1 AND 5),
    reason_en       text,
    reason_ar       text,
    internal_notes  text,
    override_reason text,
    acted_by        uuid NOT NULL REFERENCES users,
    acted_at        timestamptz NOT NULL,
    PRIMARY KEY (decision_id, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON decision_acts FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON decision_acts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE decision_acts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE decision_acts ENABLE ALWAYS TRIGGER kept;

-- -- who is at work on which session: a lease, which ends by itself

CREATE TABLE review_claims (
    session_id      bigint PRIMARY KEY REFERENCES proctor_sessions,
    exam_id         uuid NOT NULL REFERENCES exams,
    organisation_id uuid NOT NULL REFERENCES organisations,
    claimed_by      uuid NOT NULL REFERENCES users,
    claimed_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL CHECK (expires_at > claimed_at)
);
CREATE INDEX review_claims_expiry ON review_claims (expires_at);

-- -- whether a result counts: beside the submission, which never changes

-- No row: it counts, and always has.
CREATE TABLE submission_results (
    submission_id   uuid PRIMARY KEY REFERENCES submissions,
    attempt_id      uuid NOT NULL UNIQUE REFERENCES exam_attempts,      -- down to organisation_id: the submission's
    exam_id         uuid NOT NULL REFERENCES exams,
    author_id       uuid NOT NULL REFERENCES users,
    organisation_id uuid NOT NULL REFERENCES organisations,
    is_void         boolean NOT NULL,
    changed_at      timestamptz NOT NULL
);
CREATE INDEX submission_results_void ON submission_results (exam_id) WHERE is_void;

-- -- who sees and writes what

-- Exams whose sessions the asker may decide on: their own, those that a teacher may edit, those that a reviewer was granted.
CREATE VIEW judged_exams AS
SELECT id AS exam_id FROM exams WHERE creator_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
UNION ALL
SELECT p.exam_id FROM teacher_exam_permissions p JOIN users u ON u.id = p.teacher_id
WHERE p.teacher_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
  AND CASE u.role WHEN 'reviewer' THEN p.can_view WHEN 'teacher' THEN p.can_edit END;
GRANT SELECT ON judged_exams TO veritas_core;
CREATE FUNCTION judged_exam_ids() RETURNS SETOF uuid LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 AS $$
BEGIN
    RETURN QUERY SELECT exam_id FROM public.judged_exams;
END
$$;
COMMENT ON FUNCTION judged_exam_ids() IS 'judged_exams, planned once a session.';

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['proctor_decisions', 'decision_acts', 'review_claims', 'submission_results']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_ingest, veritas_pipeline, veritas_analyst USING (true)', guarded);
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['proctor_decisions', 'review_claims']::regclass[] LOOP
        EXECUTE format('CREATE POLICY asker ON %s TO veritas_core USING (CASE (SELECT asker_view())'
                       ' WHEN ''organisation'' THEN organisation_id = (SELECT asker_organisation())'
                       ' WHEN ''staff'' THEN exam_id IN (SELECT * FROM reached_exam_ids()) END)', guarded);
    END LOOP;
    -- Whoever may only look at an exam decides on nothing and voids nothing.
    FOREACH guarded IN ARRAY ARRAY['proctor_decisions', 'review_claims', 'submission_results']::regclass[] LOOP
        EXECUTE format('CREATE POLICY judged_in ON %s AS RESTRICTIVE FOR INSERT TO veritas_core WITH CHECK (CASE (SELECT asker_view())'
                       ' WHEN ''organisation'' THEN organisation_id = (SELECT asker_organisation())'
                       ' WHEN ''staff'' THEN exam_id IN (SELECT * FROM judged_exam_ids()) WHEN ''system'' THEN true END)', guarded);
        EXECUTE format('CREATE POLICY judged ON %s AS RESTRICTIVE FOR UPDATE TO veritas_core USING (CASE (SELECT asker_view())'
                       ' WHEN ''organisation'' THEN organisation_id = (SELECT asker_organisation())'
                       ' WHEN ''staff'' THEN exam_id IN (SELECT * FROM judged_exam_ids()) WHEN ''system'' THEN true END)', guarded);
    END LOOP;
END
$$;
CREATE POLICY asker ON decision_acts TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation')
                THEN EXISTS (SELECT FROM proctor_decisions d WHERE d.id = decision_id) END);
CREATE POLICY judged_out ON review_claims AS RESTRICTIVE FOR DELETE TO veritas_core
    USING (CASE (SELECT asker_view()) WHEN 'organisation' THEN true WHEN 'staff' THEN claimed_by = (SELECT asker())
                                      WHEN 'system' THEN true END);
-- A candidate sees whether their result counts, and nothing of why.
CREATE POLICY asker ON submission_results TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               WHEN 'candidate' THEN author_id = (SELECT asker())
           END);
CREATE POLICY bound ON submission_results AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END);

GRANT SELECT, INSERT,
      UPDATE (status, reason_en, reason_ar, internal_notes, decided_by, decided_at, is_finalized, previous_status, overridden_by,
              overridden_at, override_reason) ON proctor_decisions TO veritas_core;
GRANT SELECT, INSERT ON decision_acts TO veritas_core;
GRANT SELECT, INSERT, DELETE, UPDATE (claimed_by, claimed_at, expires_at) ON review_claims TO veritas_core;
GRANT SELECT, INSERT, UPDATE (is_void, changed_at) ON submission_results TO veritas_core;
GRANT SELECT ON proctor_decisions, decision_acts, submission_results TO veritas_pipeline;

-- -- what the ledger commits to

CREATE FUNCTION record_of_decision(of_id text, of_subject uuid) RETURNS TABLE (part text, state text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'decision', json_build_array(
        d.session_id, d.attempt_id, d.exam_id, d.candidate_id, d.organisation_id, d.status, d.reason_en, d.reason_ar,
        d.internal_notes, d.decided_by, d.decided_at, d.is_finalized, d.previous_status, d.overridden_by, d.overridden_at,
        d.override_reason)::text
    FROM proctor_decisions d WHERE d.id = of_id::bigint
    UNION ALL
    SELECT 'act ' || a.number, json_build_array(
        a.act, a.status, a.reason_en, a.reason_ar, a.internal_notes, a.override_reason, a.acted_by, a.acted_at)::text
    FROM decision_acts a WHERE a.decision_id = of_id::bigint;
END
$$;
CREATE FUNCTION record_of_result(of_id text, of_subject uuid) RETURNS TABLE (part text, state text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'result', json_build_array(r.attempt_id, r.exam_id, r.author_id, r.organisation_id, r.is_void, r.changed_at)::text
    FROM submission_results r WHERE r.submission_id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_decision, record_of_result FROM PUBLIC;
