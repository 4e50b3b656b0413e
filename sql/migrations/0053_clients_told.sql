-- What a candidate's client is told on a socket of its own (spec.md P-4): commands, its attempt's end and pauses, its session's end.
-- Noted beside what staff watch: `client_ids` are the sessions whose client has something to be told.

ALTER TABLE live_changes ADD COLUMN client_ids bigint[];
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX live_changes_clients ON live_changes (xid) WHERE client_ids IS NOT NULL;

-- Many at once: an announcement to a room.
CREATE FUNCTION note_commands() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO live_changes (exam_id, session_ids, client_ids)
    SELECT s.exam_id, array_agg(DISTINCT s.id), array_agg(DISTINCT s.id)
    FROM changed c JOIN proctor_sessions s ON s.id = c.session_id
    GROUP BY s.exam_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER live_inserted AFTER INSERT ON session_commands REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_commands();

CREATE FUNCTION note_client_of_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO live_changes (exam_id, session_ids, client_ids) VALUES (new.exam_id, ARRAY[new.id], ARRAY[new.id]);
    RETURN NULL;
END
$$;
CREATE TRIGGER client_told AFTER UPDATE OF status ON proctor_sessions
    FOR EACH ROW WHEN (old.status <> new.status) EXECUTE FUNCTION note_client_of_session();

CREATE FUNCTION note_client_of_command() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO live_changes (exam_id, session_ids, client_ids)
    SELECT exam_id, ARRAY[id], ARRAY[id] FROM proctor_sessions WHERE id = new.session_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER client_told AFTER UPDATE OF confirmed_at ON session_commands
    FOR EACH ROW WHEN (old.confirmed_at IS DISTINCT FROM new.confirmed_at) EXECUTE FUNCTION note_client_of_command();

CREATE FUNCTION note_clients_of_attempt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO live_changes (exam_id, session_ids, client_ids)
    SELECT exam_id, array_agg(id), array_agg(id) FROM proctor_sessions
    WHERE attempt_id = (to_jsonb(new) ->> tg_argv[0])::uuid
    GROUP BY exam_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_clients_of_attempt() IS 'Argument: the column that names the attempt.';
CREATE TRIGGER client_told AFTER UPDATE OF expires_at ON exam_attempts
    FOR EACH ROW WHEN (old.expires_at IS DISTINCT FROM new.expires_at) EXECUTE FUNCTION note_clients_of_attempt('id');
CREATE TRIGGER client_told AFTER INSERT OR UPDATE ON attempt_pauses
    FOR EACH ROW EXECUTE FUNCTION note_clients_of_attempt('attempt_id');
REVOKE ALL ON FUNCTION note_commands, note_client_of_session, note_client_of_command, note_clients_of_attempt FROM PUBLIC;
