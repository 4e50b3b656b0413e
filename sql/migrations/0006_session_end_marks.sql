-- A session's end changes what is computed from it (its last silence, its span), and no event says so: whoever fixes the
-- final sequence leaves a dirty row in the same transaction.
CREATE FUNCTION mark_finished_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO dirty_sessions (session_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER session_finished AFTER UPDATE OF final_seq ON proctor_sessions
    FOR EACH ROW WHEN (OLD.final_seq IS DISTINCT FROM NEW.final_seq) EXECUTE FUNCTION mark_finished_session();

COMMENT ON TABLE dirty_sessions IS 'A row per session touched by a batch or finished; deleted by the projection that has taken it in.';
