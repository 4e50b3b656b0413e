-- What people say of an attempt once it is over, and what is found out about its evidence, is told to the projections
-- (spec.md W-1): what is thought of the attempt is then another.

GRANT SELECT (id, session_id, kind, acted_at) ON session_actions TO veritas_pipeline;
CREATE POLICY granted ON session_actions TO veritas_pipeline USING (true);

CREATE FUNCTION mark_judged_attempt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'attempt', a.id, a.id, a.exam_id
    FROM proctor_sessions s
    JOIN exam_attempts a ON a.id = s.attempt_id
    WHERE s.id = NEW.session_id AND a.status = 'completed';
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION mark_judged_attempt() FROM PUBLIC;
CREATE TRIGGER judged AFTER INSERT OR UPDATE ON proctor_decisions FOR EACH ROW EXECUTE FUNCTION mark_judged_attempt();
CREATE TRIGGER judged AFTER INSERT ON session_actions
    FOR EACH ROW WHEN (NEW.kind IN ('flag', 'unflag')) EXECUTE FUNCTION mark_judged_attempt();
CREATE TRIGGER judged AFTER UPDATE OF damaged_at ON evidence
    FOR EACH ROW WHEN (OLD.damaged_at IS DISTINCT FROM NEW.damaged_at) EXECUTE FUNCTION mark_judged_attempt();
