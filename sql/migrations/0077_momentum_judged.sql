-- Learning momentum comes of all of a candidate's attempts; what is thought of each one rests on it (spec.md W-1).

CREATE FUNCTION reporting.mark_moved_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved reporting.learning_momentum := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    VALUES ('attempt', moved.attempt_id, moved.attempt_id, moved.exam_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER moved AFTER INSERT OR DELETE ON reporting.learning_momentum
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_moved_attempt();
CREATE TRIGGER moved_otherwise AFTER UPDATE ON reporting.learning_momentum
    FOR EACH ROW WHEN ((OLD.lmi, OLD.improvement_trend, OLD.indicators) IS DISTINCT FROM (NEW.lmi, NEW.improvement_trend, NEW.indicators))
    EXECUTE FUNCTION reporting.mark_moved_attempt();
