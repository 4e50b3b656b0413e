-- What is computed of submissions, in layers: attempts first, then their exams and their students (spec.md W-1 to W-3).

-- A row for each time that something of a key has changed. Inserted only, in the transaction of the change, so that nobody waits
-- for anybody; deleted by the turn that has computed the key with the change in it.
CREATE TABLE reporting.projection_marks (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    layer      text NOT NULL CHECK (layer IN ('attempt', 'exam', 'student')),
    key        uuid NOT NULL,
    attempt_id uuid,                                    -- whose numbers are others; null: something else of the key
    lane       uuid NOT NULL,                           -- which take turns: the exam
    marked_at  timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX projection_marks_key ON reporting.projection_marks (layer, key);

-- When a key had its turn, where that matters for the next one: exams, and what could not be computed.
CREATE TABLE reporting.projection_turns (
    layer     text NOT NULL,
    key       uuid NOT NULL,
    turned_at timestamptz,
    retry_at  timestamptz,                              -- put aside until then
    PRIMARY KEY (layer, key)
) WITH (fillfactor = 70);
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.projection_marks, reporting.projection_turns TO veritas_pipeline;

-- -- who sees what is projected

CREATE FUNCTION reporting.guard(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
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
                        ELSE format('EXISTS (SELECT FROM exam_attempts a WHERE a.student_id = %s.student_id)', guarded) END);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO veritas_pipeline', guarded);
    EXECUTE format('GRANT SELECT ON %s TO veritas_core, veritas_analyst', guarded);
END
$$;
COMMENT ON FUNCTION reporting.guard IS
    'Grants and row security of a projected table with organisation_id, and exam_id or student_id: staff of the exam, or whoever reaches an exam of the student, and no candidate.';

-- -- the first of them: submissions and their items. warehouse/datasets/ says what each column means.

CREATE TABLE reporting.submissions (
    submission_id   uuid PRIMARY KEY,
    attempt_id      uuid NOT NULL UNIQUE,
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    student_id      uuid NOT NULL,
    form_id         uuid,
    kind            text NOT NULL,
    submitted_by    text NOT NULL,
    started_at      timestamptz NOT NULL,
    finalised_at    timestamptz NOT NULL,
    revision        integer NOT NULL,
    scored_at       timestamptz NOT NULL,
    scoring_version text NOT NULL,
    ungraded        integer NOT NULL,
    points          double precision,
    max_points      double precision NOT NULL,
    score           double precision,
    percentage      double precision,
    passed          boolean,
    is_void         boolean NOT NULL,
    as_of           timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX submissions_projected_exam ON reporting.submissions (exam_id, finalised_at);
CREATE INDEX submissions_projected_student ON reporting.submissions (student_id, finalised_at);
SELECT reporting.guard('reporting.submissions');

CREATE TABLE reporting.submission_items (
    submission_id       uuid NOT NULL,
    attempt_id          uuid NOT NULL,
    exam_id             uuid NOT NULL,
    organisation_id     uuid NOT NULL,
    student_id          uuid NOT NULL,
    form_id             uuid,
    position            integer NOT NULL,
    question_id         uuid NOT NULL,
    question_version_id uuid NOT NULL,
    kind                text NOT NULL,
    response            text,
    key                 text,
    points              double precision,
    max_points          double precision NOT NULL,
    seconds             double precision,
    topics              text[] NOT NULL,
    saved_at            timestamptz,
    PRIMARY KEY (submission_id, position)
);
CREATE INDEX submission_items_attempt ON reporting.submission_items (attempt_id);
CREATE INDEX submission_items_exam ON reporting.submission_items (exam_id, question_id);
SELECT reporting.guard('reporting.submission_items');

-- What they are computed from.
GRANT SELECT (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, finalised_at) ON submissions TO veritas_pipeline;
GRANT SELECT ON submission_items, submission_scores, attempt_drafts, taxonomy_terms TO veritas_pipeline;
GRANT SELECT (id, key) ON evaluation_versions TO veritas_pipeline;
GRANT SELECT (id, organisation_id, title, subject, topic, max_score, passing_score) ON exams TO veritas_pipeline;
GRANT SELECT (id, exam_id, student_id, status, started_at, completed_at, evaluation_version_id) ON exam_attempts TO veritas_pipeline;
