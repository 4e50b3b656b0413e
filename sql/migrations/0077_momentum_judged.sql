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
    FOR EACH ROW WHEN (OLD.lmi IS DISTINCT FROM NEW.lmi OR OLD.improvement_trend IS DISTINCT FROM NEW.improvement_trend
                       OR OLD.indicators IS DISTINCT FROM NEW.indicators)
    EXECUTE FUNCTION reporting.mark_moved_attempt();
