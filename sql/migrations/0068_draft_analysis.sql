-- How texts came to be (warehouse/datasets/draft_analysis.py says what each column means), and their passages.

CREATE TABLE reporting.draft_analysis (
    attempt_id           uuid NOT NULL,
    question_id          uuid NOT NULL,
    exam_id              uuid NOT NULL,
    organisation_id      uuid NOT NULL,
    student_id           uuid NOT NULL,
    versions             integer NOT NULL,
    words                integer NOT NULL,
    thinking_quality     double precision,
    words_changed        double precision,
    sentences_new        integer,
    content_words_new    integer,
    characters_inserted  bigint NOT NULL,
    characters_deleted   bigint NOT NULL,
    paste_share          double precision,
    pauses_per_100_words double precision,
    nearest_attempt_id   uuid,
    containment          double precision,
    indicators           jsonb NOT NULL,
    metric_version       text NOT NULL,
    coverage             double precision NOT NULL,
    reasons              jsonb NOT NULL,
    as_of                timestamptz NOT NULL,
    PRIMARY KEY (attempt_id, question_id)
);
CREATE INDEX draft_analysis_exam ON reporting.draft_analysis (exam_id);
CREATE INDEX draft_analysis_student ON reporting.draft_analysis (student_id);
SELECT reporting.guard('reporting.draft_analysis');

-- -- momentum

CREATE TABLE reporting.exam_norms (
    exam_id         uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    cohort          bigint NOT NULL,
    scores          jsonb NOT NULL,                     -- {"75.0": 0.3}: a percentage's normal score
    qualities       jsonb NOT NULL,                     -- {question: [median, MAD]} of thinking quality
    metric_version  text NOT NULL
) WITH (fillfactor = 70);
SELECT reporting.guard('reporting.exam_norms');

CREATE TABLE reporting.learning_momentum (
    attempt_id        uuid PRIMARY KEY,
    exam_id           uuid NOT NULL,
    organisation_id   uuid NOT NULL,
    student_id        uuid NOT NULL,
    finalised_at      timestamptz NOT NULL,
    normal_score      double precision,
    draft_z           double precision,
    lmi               double precision,
    lmi_band          text,
    lmi_steps         integer NOT NULL,
    cumulative_lmi    double precision,
    lmi_trend         text,
    improvement_trend text,
    indicators        jsonb NOT NULL,
    metric_version    text NOT NULL,
    coverage          double precision NOT NULL,
    reasons           jsonb NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX learning_momentum_exam ON reporting.learning_momentum (exam_id);
CREATE INDEX learning_momentum_student ON reporting.learning_momentum (student_id, finalised_at);
SELECT reporting.guard('reporting.learning_momentum');

-- What norms are made of, and whom an entry concerns. The table has been there for a moment.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX submissions_projected_percentage ON reporting.submissions (exam_id, percentage);

CREATE FUNCTION reporting.mark_normed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scores_before jsonb := CASE TG_OP WHEN 'UPDATE' THEN OLD.scores ELSE '{}' END;
    qualities_before jsonb := CASE TG_OP WHEN 'UPDATE' THEN OLD.qualities ELSE '{}' END;
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'student', s.student_id, s.attempt_id, s.exam_id
    FROM jsonb_each(scores_before) o
    FULL JOIN jsonb_each(NEW.scores) n USING (key)
    JOIN reporting.submissions s ON s.exam_id = NEW.exam_id AND s.percentage = key::float8
    WHERE o.value IS DISTINCT FROM n.value
    UNION
    SELECT 'student', d.student_id, d.attempt_id, d.exam_id
    FROM jsonb_each(qualities_before) o
    FULL JOIN jsonb_each(NEW.qualities) n USING (key)
    JOIN reporting.draft_analysis d ON d.exam_id = NEW.exam_id AND d.question_id = key::uuid
    WHERE o.value IS DISTINCT FROM n.value;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION reporting.mark_normed IS 'Marks the candidates whose entry in an exam''s norms is another.';
CREATE TRIGGER mark_normed AFTER INSERT OR UPDATE OF scores, qualities ON reporting.exam_norms
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_normed();

-- -- passages: by which a copy is found among any number of texts, without reading these. Nobody else may see them.

CREATE TABLE reporting.draft_passages (
    attempt_id   uuid NOT NULL,
    question_id  uuid NOT NULL,
    student_id   uuid NOT NULL,
    fingerprints bigint[] NOT NULL,                     -- ascending; pipeline/features/winnowing.py says of what
    PRIMARY KEY (attempt_id, question_id)
);
CREATE INDEX draft_passages_held ON reporting.draft_passages USING gin (fingerprints);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON reporting.draft_passages TO veritas_pipeline;

-- Texts that share enough of their passages with one of these have it to be compared with, and each of these has the others: their
-- attempts are marked. Half of a text is a little less than makes a near duplicate. One question's texts are stored one turn after
-- the other, so that of two the later always sees the earlier.
CREATE FUNCTION reporting.mark_compared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1986359931, place)
    FROM (SELECT DISTINCT hashtext(question_id::text) AS place FROM stored ORDER BY 1) q;
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'attempt', a.id, a.id, a.exam_id
    FROM exam_attempts a
    WHERE a.id IN (
        SELECT attempt_id FROM stored
        UNION
        SELECT p.attempt_id
        FROM stored s
        JOIN reporting.draft_passages p ON p.question_id = s.question_id AND p.student_id <> s.student_id
                                       AND p.fingerprints && s.fingerprints
        WHERE 2 * (SELECT count(*) FROM unnest(p.fingerprints) x JOIN unnest(s.fingerprints) y ON x = y) >= cardinality(p.fingerprints)
    );
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION reporting.mark_compared IS 'Marks the attempts whose texts are to be compared with those that were stored.';
CREATE TRIGGER mark_inserted AFTER INSERT ON reporting.draft_passages
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION reporting.mark_compared();
CREATE TRIGGER mark_updated AFTER UPDATE ON reporting.draft_passages
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION reporting.mark_compared();
