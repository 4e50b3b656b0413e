-- A mark says what has changed, where whoever marks knows: a turn computes what rests on that, and nothing else (spec.md W-3).

ALTER TABLE reporting.projection_marks ADD COLUMN frames text[];
COMMENT ON COLUMN reporting.projection_marks.frames IS
    'What is another: datasets, or frames of sql/queries/pipeline/sources.sql. Null: anything may be.';

-- What the triggers mark is as before; each says now of what.

CREATE OR REPLACE FUNCTION reporting.mark_normed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scores_before jsonb := CASE TG_OP WHEN 'UPDATE' THEN OLD.scores ELSE '{}' END;
    qualities_before jsonb := CASE TG_OP WHEN 'UPDATE' THEN OLD.qualities ELSE '{}' END;
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'student', s.student_id, s.attempt_id, s.exam_id, '{exam_norms}'::text[]
    FROM jsonb_each(scores_before) o
    FULL JOIN jsonb_each(NEW.scores) n USING (key)
    JOIN reporting.submissions s ON s.exam_id = NEW.exam_id AND s.percentage = key::float8
    WHERE o.value IS DISTINCT FROM n.value
    UNION
    SELECT 'student', d.student_id, d.attempt_id, d.exam_id, '{exam_norms}'
    FROM jsonb_each(qualities_before) o
    FULL JOIN jsonb_each(NEW.qualities) n USING (key)
    JOIN reporting.draft_analysis d ON d.exam_id = NEW.exam_id AND d.question_id = key::uuid
    WHERE o.value IS DISTINCT FROM n.value;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_compared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1986359931, place)
    FROM (SELECT DISTINCT hashtext(question_id::text) AS place FROM stored ORDER BY 1) q;
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'attempt', a.id, a.id, a.exam_id, '{draft_passages}'
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

CREATE OR REPLACE FUNCTION mark_judged_attempt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'attempt', a.id, a.id, a.exam_id, '{watched,sessions}'
    FROM proctor_sessions s
    JOIN exam_attempts a ON a.id = s.attempt_id
    WHERE s.id = NEW.session_id AND a.status = 'completed';
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_alike_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pair reporting.answer_similarity := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'attempt', attempt_id, attempt_id, pair.exam_id, '{answer_similarity}'
    FROM unnest(ARRAY[pair.attempt_a, pair.attempt_b]) a (attempt_id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_moved_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved reporting.learning_momentum := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    VALUES ('attempt', moved.attempt_id, moved.attempt_id, moved.exam_id, '{learning_momentum}');
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_anomalous() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint[] := CASE TG_OP WHEN 'UPDATE' THEN reporting.verdicts(OLD.cells, OLD.scores, OLD.scores_outside) END;
    after bigint[] := reporting.verdicts(NEW.cells, NEW.scores, NEW.scores_outside);
    turned integer[] := ARRAY(SELECT v / 2 FROM unnest(before || after) w (v) GROUP BY v HAVING count(*) = 1);
    strange integer[] := ARRAY(SELECT v / 2 FROM unnest(after) w (v));
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'attempt', attempt_id, attempt_id, exam_id, '{event_norms}'::text[] FROM reporting.session_cells
    WHERE exam_id = NEW.exam_id AND mode = NEW.mode AND cells && turned
    UNION
    SELECT 'attempt', attempt_id, attempt_id, exam_id, '{event_norms}' FROM reporting.calibration_shares s
    WHERE exam_id = NEW.exam_id AND put_by = pg_current_xact_id()
      AND (cells && strange OR EXISTS (SELECT FROM reporting.behavior_analysis b WHERE b.attempt_id = s.attempt_id AND anomaly_count > 0));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_timed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    timed reporting.response_times := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    VALUES ('attempt', timed.attempt_id, timed.attempt_id, timed.exam_id, '{response_times}');
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_paced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'student', student_id, id, exam_id, '{response_times}'
    FROM exam_attempts WHERE id = coalesce(NEW.attempt_id, OLD.attempt_id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_measured() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    form reporting.test_statistics := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'student', student_id, id, exam_id, '{test_statistics}' FROM exam_attempts
    WHERE exam_id = form.exam_id AND evaluation_version_id = form.form_id AND status = 'completed';
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_topical() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    exam uuid := coalesce(NEW.exam_id, OLD.exam_id);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'student', student_id, id, exam_id, '{topic_norms}'
    FROM exam_attempts WHERE exam_id = exam AND status = 'completed';
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION reporting.mark_weak() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    student uuid := coalesce(NEW.student_id, OLD.student_id);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'attempt', id, id, exam_id, '{performance_metrics}'
    FROM exam_attempts WHERE student_id = student AND status = 'completed';
    RETURN NULL;
END
$$;
