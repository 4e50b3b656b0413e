-- What candidates usually reach in each topic, by which strengths and weaknesses are told (spec.md W-1).
-- warehouse/datasets/topic_norms.py says what each column means.

CREATE TABLE reporting.topic_norms (
    exam_id         uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    item_means      jsonb NOT NULL,                     -- {form: {question version: hundredths}}
    topic_priors    jsonb NOT NULL,                     -- {topic: [mean, between, within]}
    metric_version  text NOT NULL
) WITH (fillfactor = 50);
SELECT reporting.guard('reporting.topic_norms');
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX submission_items_student ON reporting.submission_items (student_id);

-- The exam's candidates are judged by its norms.
CREATE FUNCTION reporting.mark_topical() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    exam uuid := coalesce(NEW.exam_id, OLD.exam_id);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'student', student_id, id, exam_id FROM exam_attempts WHERE exam_id = exam AND status = 'completed';
    RETURN NULL;
END
$$;
CREATE TRIGGER topical AFTER INSERT OR DELETE ON reporting.topic_norms
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_topical();
CREATE TRIGGER topical_otherwise AFTER UPDATE ON reporting.topic_norms
    FOR EACH ROW WHEN (OLD.item_means IS DISTINCT FROM NEW.item_means OR OLD.topic_priors IS DISTINCT FROM NEW.topic_priors)
    EXECUTE FUNCTION reporting.mark_topical();

-- A student's attempts ask for a recap where their exam has a topic that the student is weak in.
CREATE FUNCTION reporting.weak_topics(weaknesses jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_path_query_array(weaknesses, '$[*].keyvalue() ? (@.key == "topic" || @.key == "n").value')
$$;
CREATE FUNCTION reporting.mark_weak() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    student uuid := coalesce(NEW.student_id, OLD.student_id);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'attempt', id, id, exam_id FROM exam_attempts WHERE student_id = student AND status = 'completed';
    RETURN NULL;
END
$$;
CREATE TRIGGER weak AFTER INSERT ON reporting.performance_metrics
    FOR EACH ROW WHEN (NEW.weaknesses IS NOT NULL) EXECUTE FUNCTION reporting.mark_weak();
CREATE TRIGGER weak_no_more AFTER DELETE ON reporting.performance_metrics
    FOR EACH ROW WHEN (OLD.weaknesses IS NOT NULL) EXECUTE FUNCTION reporting.mark_weak();
CREATE TRIGGER weak_otherwise AFTER UPDATE ON reporting.performance_metrics
    FOR EACH ROW WHEN (reporting.weak_topics(OLD.weaknesses) IS DISTINCT FROM reporting.weak_topics(NEW.weaknesses))
    EXECUTE FUNCTION reporting.mark_weak();
