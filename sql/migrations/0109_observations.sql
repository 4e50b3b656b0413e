-- Observations, whole (spec.md M-4): what is observed and is no person, drafts, amendments, and what staff say
-- of an observation.

-- -- subjects that are no people

CREATE TABLE subjects (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    category        text NOT NULL CHECK (length(category) BETWEEN 1 AND 100),
    description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
    is_active       boolean NOT NULL DEFAULT true,
    created_by      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL
);
COMMENT ON TABLE subjects IS 'What is observed and is no person: a room, a machine, a team; people are users.';
COMMENT ON COLUMN subjects.category IS 'What it is, in the organisation''s own words.';
COMMENT ON COLUMN subjects.is_active IS 'Whether a new observation may name it; old ones keep it.';
CREATE UNIQUE INDEX subjects_name ON subjects (organisation_id, lower(category), lower(name));
CREATE INDEX subjects_organisation ON subjects (organisation_id, id);
CREATE INDEX subjects_by_name ON subjects (organisation_id, lower(name), id) WHERE is_active;
ALTER TABLE subjects ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON subjects TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY asker ON subjects TO veritas_core
    USING (organisation_id = (SELECT asker_organisation()) AND (SELECT asker_view()) IN ('organisation', 'staff', 'observer'))
    WITH CHECK (organisation_id = (SELECT asker_organisation()) AND (SELECT asker_view()) = 'organisation');
GRANT SELECT, INSERT, UPDATE (name, category, description, is_active) ON subjects TO veritas_core;

-- -- drafts: runtime state, the observer's alone, gone when they are finalised

CREATE TABLE observation_drafts (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    exam_id         uuid NOT NULL REFERENCES exams,
    observer_id     uuid NOT NULL REFERENCES users,
    amends          uuid REFERENCES submissions,
    content         jsonb NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
COMMENT ON TABLE observation_drafts IS 'What an observer has written down and not finalised.';
COMMENT ON COLUMN observation_drafts.amends IS 'The observation that it is to amend; null: it is a first one.';
COMMENT ON COLUMN observation_drafts.version IS 'How often it was saved: whoever saves names the one that they have read.';
CREATE INDEX observation_drafts_observer ON observation_drafts (observer_id, id);
ALTER TABLE observation_drafts ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON observation_drafts TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY asker ON observation_drafts TO veritas_core
    USING (observer_id = (SELECT asker()) AND (SELECT asker_view()) = 'observer')
    WITH CHECK (observer_id = (SELECT asker()) AND organisation_id = (SELECT asker_organisation())
                AND EXISTS (SELECT FROM observed_exams o WHERE o.exam_id = observation_drafts.exam_id));
GRANT SELECT, INSERT, DELETE, UPDATE (content, version, updated_at) ON observation_drafts TO veritas_core;

-- -- amendments: a further submission that names the one before it

-- A new column without a value: nothing is read or written.
ALTER TABLE submissions ADD COLUMN amends uuid;
-- squawk-ignore constraint-missing-not-valid,adding-foreign-key-constraint
ALTER TABLE submissions ADD CONSTRAINT submissions_amends_fkey FOREIGN KEY (amends) REFERENCES submissions NOT VALID;
COMMENT ON COLUMN submissions.amends IS 'The observation in whose place it stands; null: a first one. Its reason is in the content.';
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX submissions_amended ON submissions (amends) WHERE amends IS NOT NULL;

-- -- what staff say of an observation

CREATE TABLE observation_reviews (
    submission_id   uuid NOT NULL REFERENCES submissions,
    number          integer NOT NULL CHECK (number >= 1),
    organisation_id uuid NOT NULL REFERENCES organisations,
    exam_id         uuid NOT NULL REFERENCES exams,
    observer_id     uuid NOT NULL REFERENCES users,     -- these three: the observation's
    verdict         text NOT NULL CHECK (verdict IN ('accepted', 'returned')),
    reason          text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    reviewed_by     uuid NOT NULL REFERENCES users,
    reviewed_at     timestamptz NOT NULL,
    PRIMARY KEY (submission_id, number),
    CONSTRAINT reviewed_by_somebody_else CHECK (reviewed_by <> observer_id)
);
COMMENT ON TABLE observation_reviews IS 'What staff said of an observation; the last one counts. Never changed.';
CREATE TRIGGER append_only BEFORE UPDATE ON observation_reviews FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON observation_reviews FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON observation_reviews FOR EACH ROW EXECUTE FUNCTION refuse_removal();
ALTER TABLE observation_reviews ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE observation_reviews ENABLE ALWAYS TRIGGER erased;
ALTER TABLE observation_reviews ENABLE ALWAYS TRIGGER kept;
ALTER TABLE observation_reviews ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON observation_reviews TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON observation_reviews TO veritas_pipeline USING (true);
CREATE POLICY asker ON observation_reviews TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               WHEN 'observer' THEN observer_id = (SELECT asker())
           END);
CREATE POLICY reviewed_in ON observation_reviews AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK ((SELECT asker_view()) = 'system'
                OR reviewed_by = (SELECT asker())
                AND CASE (SELECT asker_view())
                        WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
                        WHEN 'staff' THEN exam_id IN (SELECT * FROM judged_exam_ids())
                    END);
GRANT SELECT, INSERT ON observation_reviews TO veritas_core;
GRANT SELECT ON observation_reviews TO veritas_pipeline;

-- -- the states of an observation, and what leads from one to the next

-- Where an observation stands. In its owner's name: it is asked for those that the caller sees already.
CREATE FUNCTION observation_state(of_submission uuid) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM submissions n WHERE n.amends = of_submission) THEN 'amended'
                ELSE coalesce((SELECT r.verdict FROM observation_reviews r WHERE r.submission_id = of_submission
                               ORDER BY r.number DESC LIMIT 1), 'finalised') END
$$;

CREATE TABLE observation_steps (state text, next text, PRIMARY KEY (state, next));
COMMENT ON TABLE observation_steps IS 'What may follow what: the table that triggers ask; core_api/observations/states.py has the same.';
INSERT INTO observation_steps VALUES
    ('finalised', 'accepted'), ('finalised', 'returned'), ('finalised', 'amended'),
    ('returned', 'returned'), ('returned', 'accepted'), ('returned', 'amended'),
    ('accepted', 'accepted'), ('accepted', 'returned'), ('accepted', 'amended');

-- One act on an observation at a time; raises where the act does not follow from its state.
CREATE FUNCTION step_observation(of_submission uuid, next_state text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('observation ' || of_submission::text, 0));
    IF NOT EXISTS (SELECT FROM observation_steps WHERE state = observation_state(of_submission) AND next = next_state) THEN
        RAISE EXCEPTION 'An observation that is % cannot become %', observation_state(of_submission), next_state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'observation_step';
    END IF;
END
$$;

CREATE FUNCTION check_observation_review() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM step_observation(NEW.submission_id, NEW.verdict);
    IF NOT EXISTS (SELECT FROM submissions s WHERE s.id = NEW.submission_id AND s.kind = 'observation'
                   AND (s.organisation_id, s.exam_id, s.author_id) = (NEW.organisation_id, NEW.exam_id, NEW.observer_id)) THEN
        RAISE EXCEPTION 'Not a review of this observation' USING ERRCODE = 'check_violation', CONSTRAINT = 'observation_reviewed';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER follows BEFORE INSERT ON observation_reviews FOR EACH ROW EXECUTE FUNCTION check_observation_review();
ALTER TABLE observation_reviews ENABLE ALWAYS TRIGGER follows;

CREATE FUNCTION check_amendment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM step_observation(NEW.amends, 'amended');
    IF NOT EXISTS (SELECT FROM submissions s WHERE s.id = NEW.amends AND s.kind = 'observation' AND NEW.kind = 'observation'
                   AND (s.organisation_id, s.exam_id, s.author_id) = (NEW.organisation_id, NEW.exam_id, NEW.author_id)) THEN
        RAISE EXCEPTION 'Only an observation of the same observer and exam is amended'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'observation_amended';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER amended BEFORE INSERT ON submissions FOR EACH ROW WHEN (NEW.amends IS NOT NULL) EXECUTE FUNCTION check_amendment();
ALTER TABLE submissions ENABLE ALWAYS TRIGGER amended;
REVOKE ALL ON FUNCTION observation_state, step_observation, check_observation_review, check_amendment FROM PUBLIC;
GRANT EXECUTE ON FUNCTION observation_state TO veritas_core;

-- -- as they are listed

-- squawk-ignore ban-drop-view
DROP VIEW shown_observations;
-- Of the subjects the first five.
CREATE VIEW shown_observations WITH (security_invoker = true) AS
SELECT s.id AS submission_id, s.exam_id, s.author_id AS observer_id, coalesce(u.full_name, '') AS observer_name, s.finalised_at,
       s.amends, observation_state(s.id) AS state,
       (SELECT count(*) FROM submission_subjects b WHERE b.submission_id = s.id) AS subject_count,
       ARRAY(SELECT b.subject_id FROM submission_subjects b WHERE b.submission_id = s.id ORDER BY b.subject_id LIMIT 5) AS subject_ids,
       ARRAY(SELECT coalesce(p.full_name, n.name) FROM submission_subjects b
             LEFT JOIN users p ON p.id = b.subject_id AND b.kind = 'user'
             LEFT JOIN subjects n ON n.id = b.subject_id AND b.kind = 'entity'
             WHERE b.submission_id = s.id ORDER BY b.subject_id LIMIT 5) AS subject_names,
       c.ungraded, c.score::float8 AS score, c.percentage::float8 AS percentage, c.passed
FROM submissions s
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
LEFT JOIN users u ON u.id = s.author_id
WHERE s.kind = 'observation';
GRANT SELECT ON shown_observations TO veritas_core;

-- -- what the ledger commits to

CREATE FUNCTION record_of_subject(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'subject', json_build_array(b.organisation_id, b.name, b.category, b.description, b.is_active, b.created_by)::text
    FROM subjects b WHERE b.id = of_id::uuid;
END
$$;
CREATE FUNCTION record_of_observation_reviews(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'review ' || r.number,
           json_build_array(r.organisation_id, r.exam_id, r.observer_id, r.verdict, r.reason, r.reviewed_by, r.reviewed_at)::text
    FROM observation_reviews r WHERE r.submission_id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_subject, record_of_observation_reviews FROM PUBLIC;
