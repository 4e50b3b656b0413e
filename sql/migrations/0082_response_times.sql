-- How long answers took, and how exactly exams measure, count in what is thought of an attempt and of a candidate's work (spec.md W-1).
-- warehouse/datasets/response_times.py says what each column means.

CREATE TABLE reporting.response_times (
    attempt_id      uuid PRIMARY KEY,
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    form_id         uuid NOT NULL,
    items           bigint NOT NULL,
    timed           bigint NOT NULL,
    speed           double precision,
    speed_z         double precision,
    speed_p         double precision,
    rapid           bigint NOT NULL,
    rapid_share     double precision,
    rapid_p         double precision,
    times_p         double precision,
    metric_version  text NOT NULL,
    coverage        double precision NOT NULL,
    reasons         jsonb NOT NULL                      -- [{"code", "value", "threshold", "n", "text"}]
) WITH (fillfactor = 70);
CREATE INDEX response_times_exam ON reporting.response_times (exam_id, form_id, attempt_id);
SELECT reporting.guard('reporting.response_times');
-- Whoever is still to review an attempt blind does not see what was made of its times (0079_blinded.sql).
CREATE POLICY blinded ON reporting.response_times AS RESTRICTIVE FOR SELECT TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'system' THEN true
               ELSE NOT EXISTS (SELECT FROM blinded_attempts b WHERE b.attempt_id = response_times.attempt_id)
           END);

CREATE FUNCTION reporting.rounded(value double precision, digits integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT round(value::numeric, digits)::double precision
$$;
COMMENT ON FUNCTION reporting.rounded IS 'What a number is taken for, so that one candidate more moves few of them.';

-- A p above a tenth says nothing against anybody, whichever it is: only that there is one.
CREATE FUNCTION reporting.mark_timed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    timed reporting.response_times := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    VALUES ('attempt', timed.attempt_id, timed.attempt_id, timed.exam_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION reporting.mark_paced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'student', student_id, id, exam_id FROM exam_attempts WHERE id = coalesce(NEW.attempt_id, OLD.attempt_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER timed AFTER INSERT OR DELETE ON reporting.response_times
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_timed();
CREATE TRIGGER timed_otherwise AFTER UPDATE ON reporting.response_times
    FOR EACH ROW WHEN (least(OLD.times_p, 0.1) IS DISTINCT FROM least(NEW.times_p, 0.1)
                       OR (OLD.times_p IS NULL) IS DISTINCT FROM (NEW.times_p IS NULL)
                       OR OLD.rapid_share IS DISTINCT FROM NEW.rapid_share)
    EXECUTE FUNCTION reporting.mark_timed();
CREATE TRIGGER paced AFTER INSERT ON reporting.response_times
    FOR EACH ROW WHEN (NEW.speed IS NOT NULL) EXECUTE FUNCTION reporting.mark_paced();
CREATE TRIGGER paced_no_more AFTER DELETE ON reporting.response_times
    FOR EACH ROW WHEN (OLD.speed IS NOT NULL) EXECUTE FUNCTION reporting.mark_paced();
CREATE TRIGGER paced_otherwise AFTER UPDATE ON reporting.response_times
    FOR EACH ROW WHEN (reporting.rounded(OLD.speed, 1) IS DISTINCT FROM reporting.rounded(NEW.speed, 1))
    EXECUTE FUNCTION reporting.mark_paced();

-- How exactly a form measures says which changes of a result are none.
CREATE FUNCTION reporting.mark_measured() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    form reporting.test_statistics := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'student', student_id, id, exam_id FROM exam_attempts
    WHERE exam_id = form.exam_id AND evaluation_version_id = form.form_id AND status = 'completed';
    RETURN NULL;
END
$$;
CREATE TRIGGER measured AFTER INSERT OR DELETE ON reporting.test_statistics
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_measured();
CREATE TRIGGER measured_otherwise AFTER UPDATE ON reporting.test_statistics
    FOR EACH ROW WHEN (reporting.rounded(OLD.alpha, 2) IS DISTINCT FROM reporting.rounded(NEW.alpha, 2)
                       OR reporting.rounded(100 * OLD.sem / nullif(OLD.max_points, 0), 1)
                          IS DISTINCT FROM reporting.rounded(100 * NEW.sem / nullif(NEW.max_points, 0), 1))
    EXECUTE FUNCTION reporting.mark_measured();
