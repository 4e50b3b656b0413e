-- Authoring, assignment, answers, submissions: the tables that the data-flow document names. What was published or
-- finalised is immutable, and the database says so to every role, the owner included.

-- -- content

CREATE TABLE taxonomy_terms (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    kind            text NOT NULL CHECK (kind IN ('term', 'skill')),
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    parent_id       uuid REFERENCES taxonomy_terms,
    created_by      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX taxonomy_terms_name ON taxonomy_terms (organisation_id, kind, lower(name));

CREATE TABLE passages (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    creator_id      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    archived_at     timestamptz
);
CREATE INDEX passages_creator ON passages (creator_id, id);

CREATE TABLE passage_versions (
    id         uuid PRIMARY KEY,
    passage_id uuid NOT NULL REFERENCES passages,
    version    integer NOT NULL CHECK (version > 0),
    title      text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    body       text NOT NULL,
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    UNIQUE (passage_id, version)
);

CREATE TABLE questions (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    creator_id      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    archived_at     timestamptz
);
CREATE INDEX questions_creator ON questions (creator_id, id);

-- Every save is a new version. What candidates see and what tells right from wrong are two columns.
CREATE TABLE question_versions (
    id          uuid PRIMARY KEY,
    question_id uuid NOT NULL REFERENCES questions,
    version     integer NOT NULL CHECK (version > 0),
    kind        text NOT NULL CHECK (kind IN ('single_choice', 'multiple_choice', 'numeric', 'short_text', 'essay', 'finding')),
    content     jsonb NOT NULL,
    key         jsonb NOT NULL,
    points      numeric(8, 2) NOT NULL CHECK (points >= 0),
    passage_id  uuid REFERENCES passages,
    created_by  uuid NOT NULL REFERENCES users,
    created_at  timestamptz NOT NULL,
    UNIQUE (question_id, version)
);

CREATE TABLE question_terms (
    question_id uuid NOT NULL REFERENCES questions,
    term_id     uuid NOT NULL REFERENCES taxonomy_terms,
    PRIMARY KEY (question_id, term_id)
);
CREATE INDEX question_terms_term ON question_terms (term_id);

CREATE TABLE evaluations (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    creator_id      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL
);
CREATE INDEX evaluations_creator ON evaluations (creator_id, id);

-- A draft names questions; publishing freezes their newest versions into `paper` (what candidates see) and `key`.
CREATE TABLE evaluation_versions (
    id              uuid PRIMARY KEY,
    evaluation_id   uuid NOT NULL REFERENCES evaluations,
    version         integer NOT NULL CHECK (version > 0),
    title           text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    status          text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'published')),
    paper           jsonb,
    key             jsonb,
    max_points      numeric(10, 2),
    snapshot_sha256 bytea,
    created_by      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    published_at    timestamptz,
    UNIQUE (evaluation_id, version),
    CHECK ((status = 'published') = (num_nonnulls(paper, key, max_points, snapshot_sha256, published_at) = 5))
);
CREATE UNIQUE INDEX evaluation_versions_draft ON evaluation_versions (evaluation_id) WHERE status = 'draft';

CREATE TABLE evaluation_items (
    evaluation_version_id uuid NOT NULL REFERENCES evaluation_versions,
    position              integer NOT NULL CHECK (position > 0),
    question_id           uuid NOT NULL REFERENCES questions,
    question_version_id   uuid REFERENCES question_versions,  -- null while the evaluation is a draft
    points                numeric(8, 2) CHECK (points >= 0),   -- null: the question's own
    PRIMARY KEY (evaluation_version_id, question_id),
    UNIQUE (evaluation_version_id, position)
);

CREATE FUNCTION refuse_published_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM evaluation_versions
               WHERE status = 'published' AND id IN (coalesce(OLD.evaluation_version_id, NEW.evaluation_version_id),
                                                     coalesce(NEW.evaluation_version_id, OLD.evaluation_version_id))) THEN
        RAISE EXCEPTION '% on the items of a published evaluation is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER published_items BEFORE INSERT OR UPDATE OR DELETE ON evaluation_items
    FOR EACH ROW EXECUTE FUNCTION refuse_published_items();
CREATE TRIGGER published BEFORE UPDATE OR DELETE ON evaluation_versions
    FOR EACH ROW WHEN (OLD.status = 'published') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON question_versions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON passage_versions FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- -- exams and who may take them

-- An exam without an evaluation is delivered elsewhere and only proctored here.
ALTER TABLE exams
    ADD COLUMN evaluation_version_id uuid REFERENCES evaluation_versions,
    ADD COLUMN archived_at timestamptz,
    ADD CHECK (archived_at IS NULL OR NOT is_published);
CREATE INDEX exams_evaluation ON exams (evaluation_version_id);
CREATE INDEX exams_subject_topic ON exams (subject, topic);

CREATE FUNCTION refuse_unpublished_evaluation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM evaluation_versions WHERE id = NEW.evaluation_version_id AND status = 'published') THEN
        RAISE EXCEPTION 'an exam points at a published evaluation' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER published_evaluation BEFORE INSERT OR UPDATE OF evaluation_version_id ON exams
    FOR EACH ROW WHEN (NEW.evaluation_version_id IS NOT NULL) EXECUTE FUNCTION refuse_unpublished_evaluation();

-- A null says nothing: the exam's own value holds (core_api/policy.py).
CREATE TABLE assignments (
    id                uuid PRIMARY KEY,
    exam_id           uuid NOT NULL REFERENCES exams,
    user_id           uuid REFERENCES users,
    group_id          uuid,                             -- of groups
    opens_at          timestamptz,
    closes_at         timestamptz,
    duration_minutes  integer CHECK (duration_minutes BETWEEN 1 AND 1440),
    extra_minutes     integer CHECK (extra_minutes BETWEEN 0 AND 1440),
    attempts_allowed  integer CHECK (attempts_allowed BETWEEN 1 AND 100),
    monitoring_mode   smallint CHECK (monitoring_mode BETWEEN 0 AND 2),
    rule_exemptions   bigint[],                         -- risk rules that do not count for these candidates
    created_by        uuid NOT NULL REFERENCES users,
    created_at        timestamptz NOT NULL,
    revoked_at        timestamptz,                      -- gives nothing any more; the exam stays restricted
    CHECK (num_nonnulls(user_id, group_id) = 1),
    CHECK (opens_at < closes_at)
);
CREATE UNIQUE INDEX assignments_user ON assignments (exam_id, user_id) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX assignments_group ON assignments (exam_id, group_id) WHERE revoked_at IS NULL;
CREATE INDEX assignments_exam ON assignments (exam_id, id);

-- One candidate's exception to one assignment.
CREATE TABLE assignment_overrides (
    assignment_id     uuid NOT NULL REFERENCES assignments,
    user_id           uuid NOT NULL REFERENCES users,
    opens_at          timestamptz,
    closes_at         timestamptz,
    duration_minutes  integer CHECK (duration_minutes BETWEEN 1 AND 1440),
    extra_minutes     integer CHECK (extra_minutes BETWEEN 0 AND 1440),
    attempts_allowed  integer CHECK (attempts_allowed BETWEEN 1 AND 100),
    monitoring_mode   smallint CHECK (monitoring_mode BETWEEN 0 AND 2),
    rule_exemptions   bigint[],
    reason            text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    created_by        uuid NOT NULL REFERENCES users,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (assignment_id, user_id)
);

-- -- attempts

ALTER TABLE exam_attempts
    ADD COLUMN evaluation_version_id uuid REFERENCES evaluation_versions,
    ADD COLUMN attempt_number integer CHECK (attempt_number > 0),   -- null on rows older than the column
    ADD COLUMN policy jsonb,                                        -- the effective policy that the attempt began under
    ADD COLUMN submitted_by text CHECK (submitted_by IN ('candidate', 'expiry'));
-- Settles starts that come at the same moment when several attempts are allowed.
CREATE UNIQUE INDEX exam_attempts_number ON exam_attempts (exam_id, student_id, attempt_number);
-- What the sweep looks for.
CREATE INDEX exam_attempts_expiring ON exam_attempts (expires_at) WHERE status = 'in_progress';

-- The newest answer to each question. client_seq is the client's own, per attempt and question.
CREATE TABLE attempt_answers (
    attempt_id  uuid NOT NULL REFERENCES exam_attempts,
    question_id uuid NOT NULL,
    client_seq  bigint NOT NULL CHECK (client_seq > 0),
    response    jsonb NOT NULL,
    saved_at    timestamptz NOT NULL,
    PRIMARY KEY (attempt_id, question_id)
) WITH (fillfactor = 70);

-- How an essay grew: a bounded history, the first draft always among it.
CREATE TABLE attempt_drafts (
    attempt_id  uuid NOT NULL REFERENCES exam_attempts,
    question_id uuid NOT NULL,
    client_seq  bigint NOT NULL,
    response    jsonb NOT NULL,
    saved_at    timestamptz NOT NULL,
    PRIMARY KEY (attempt_id, question_id, client_seq)
);

-- -- durable outcomes

CREATE TABLE submissions (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('attempt', 'observation')),
    organisation_id  uuid NOT NULL REFERENCES organisations,
    exam_id          uuid NOT NULL REFERENCES exams,
    attempt_id       uuid UNIQUE REFERENCES exam_attempts,
    author_id        uuid NOT NULL REFERENCES users,    -- the candidate, or the observer
    submitted_by     text NOT NULL CHECK (submitted_by IN ('candidate', 'expiry', 'observer')),
    idempotency_key  text CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    body_sha256      bytea,                             -- of the request that finalised it
    version_snapshot jsonb NOT NULL,                    -- which evaluation, key, policy and scoring it was made under
    content          bytea NOT NULL,                    -- the canonical bytes that the hash is of
    content_sha256   bytea NOT NULL,
    event_id         uuid NOT NULL,                     -- of the fact recorded with it
    finalised_at     timestamptz NOT NULL,
    CHECK ((kind = 'attempt') = (attempt_id IS NOT NULL))
);
CREATE UNIQUE INDEX submissions_key ON submissions (author_id, idempotency_key);
CREATE INDEX submissions_exam ON submissions (exam_id, id);

CREATE TABLE submission_items (
    submission_id       uuid NOT NULL REFERENCES submissions,
    position            integer NOT NULL,
    question_id         uuid NOT NULL,
    question_version_id uuid NOT NULL REFERENCES question_versions,
    kind                text NOT NULL,
    response            jsonb,                          -- null: not answered
    client_seq          bigint,
    saved_at            timestamptz,
    points              numeric(8, 2),                  -- at finalisation; null: waits for a grader
    max_points          numeric(8, 2) NOT NULL,
    PRIMARY KEY (submission_id, position)
);

-- Rescoring appends a revision; the highest one counts (spec.md S-3).
CREATE TABLE submission_scores (
    submission_id   uuid NOT NULL REFERENCES submissions,
    revision        integer NOT NULL CHECK (revision > 0),
    scoring_version text NOT NULL,
    item_points     jsonb NOT NULL,                     -- points by position, null where a grader is awaited
    points          numeric(10, 2) NOT NULL,
    max_points      numeric(10, 2) NOT NULL,
    ungraded        integer NOT NULL,
    score           numeric(10, 2),                     -- on the exam's scale; null while anything is ungraded
    percentage      numeric(6, 3),
    passed          boolean,
    reason          text NOT NULL,
    scored_by       uuid REFERENCES users,              -- null: the machine
    scored_at       timestamptz NOT NULL,
    PRIMARY KEY (submission_id, revision)
);

CREATE TABLE submission_subjects (
    submission_id uuid NOT NULL REFERENCES submissions,
    subject_id    uuid NOT NULL,                        -- a user, or an entity that is observed
    kind          text NOT NULL CHECK (kind IN ('user', 'entity')),
    PRIMARY KEY (submission_id, subject_id)
);
CREATE INDEX submission_subjects_subject ON submission_subjects (subject_id, submission_id);

CREATE TABLE submission_evidence (
    submission_id uuid NOT NULL REFERENCES submissions,
    evidence_id   bigint NOT NULL,                      -- of evidence
    position      integer,                              -- the item that it belongs to; null: the whole submission
    PRIMARY KEY (submission_id, evidence_id)
);

CREATE TRIGGER append_only BEFORE UPDATE ON submissions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON submission_items FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON submission_scores FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON submission_subjects FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON submission_evidence FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What happened, for workers: written in the transaction that did it, deleted by the worker that has acted on it. Claim
-- with FOR UPDATE SKIP LOCKED, never with "id > cursor": a lower id may commit later.
CREATE TABLE outbox (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    event_id        uuid NOT NULL UNIQUE,
    kind            text NOT NULL,                      -- noun.past_participle
    organisation_id uuid NOT NULL,
    actor_id        uuid,                               -- null: the system itself
    resource_id     uuid NOT NULL,
    payload         jsonb NOT NULL,
    occurred_at     timestamptz NOT NULL
);

GRANT SELECT, INSERT ON taxonomy_terms, passage_versions, question_versions, evaluations TO veritas_core;
GRANT SELECT, INSERT, UPDATE (archived_at) ON passages, questions TO veritas_core;
GRANT SELECT, INSERT, DELETE ON question_terms TO veritas_core;
GRANT SELECT, INSERT, UPDATE ON evaluation_versions, assignments, assignment_overrides, attempt_answers TO veritas_core;
GRANT SELECT, INSERT, UPDATE, DELETE ON evaluation_items TO veritas_core;
GRANT SELECT, INSERT, DELETE ON attempt_drafts TO veritas_core;
GRANT DELETE ON assignment_overrides TO veritas_core;
GRANT SELECT, INSERT ON submissions, submission_items, submission_scores, submission_subjects, submission_evidence TO veritas_core;
GRANT INSERT ON outbox TO veritas_core;
GRANT SELECT, DELETE ON outbox TO veritas_pipeline;
