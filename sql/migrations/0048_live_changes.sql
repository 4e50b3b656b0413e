-- What changes in an exam's sessions, noted by the transaction that changes it, for those who watch (spec.md U-1).
--
-- A row an exam and statement, appended. Its number is the transaction's own, and what somebody has seen is a snapshot: what is
-- visible now and was not in that snapshot is new, whichever order things were committed in. So a watcher goes on from where it
-- was in any process, without a hole and without a repeat, and nobody waits for anybody's commit.

CREATE TABLE live_changes (
    exam_id     uuid NOT NULL,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    session_ids bigint[] NOT NULL,
    event_ids   bigint[],                               -- among what came: events that alert
    risen_ids   bigint[],                               -- sessions whose band rose
    noted_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX live_changes_exam ON live_changes (exam_id, xid);
CREATE INDEX live_changes_noted ON live_changes (noted_at);
COMMENT ON TABLE live_changes IS 'Which sessions have changed lately, for those who watch an exam; deleted after minutes.';

ALTER TABLE live_changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON live_changes TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON live_changes TO veritas_ingest USING (true);
GRANT SELECT, DELETE ON live_changes TO veritas_core;
GRANT INSERT (exam_id, session_ids, event_ids) ON live_changes TO veritas_ingest;

CREATE FUNCTION note_live_sessions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO live_changes (exam_id, session_ids) SELECT exam_id, array_agg(id) FROM changed GROUP BY exam_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER live_inserted AFTER INSERT ON proctor_sessions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_sessions();
CREATE TRIGGER live_updated AFTER UPDATE ON proctor_sessions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_sessions();

-- Of any table whose rows are of a session, by `session_id`.
CREATE FUNCTION note_live_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO live_changes (exam_id, session_ids)
    SELECT s.exam_id, array_agg(DISTINCT s.id) FROM changed c JOIN proctor_sessions s ON s.id = c.session_id GROUP BY s.exam_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER live_inserted AFTER INSERT ON session_progress REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_changes();
CREATE TRIGGER live_updated AFTER UPDATE ON session_progress REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_changes();
CREATE TRIGGER live_inserted AFTER INSERT ON proctor_decisions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_changes();
CREATE TRIGGER live_updated AFTER UPDATE ON proctor_decisions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_changes();

CREATE FUNCTION note_live_risk() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tg_op = 'INSERT' THEN
        INSERT INTO live_changes (exam_id, session_ids, risen_ids)
        SELECT exam_id, array_agg(session_id), array_agg(session_id) FILTER (WHERE risk_level <> 'Low')
        FROM changed GROUP BY exam_id;
    ELSE
        INSERT INTO live_changes (exam_id, session_ids, risen_ids)
        SELECT c.exam_id, array_agg(c.session_id),
               array_agg(c.session_id) FILTER (WHERE c.risk_level <> b.risk_level AND c.peak_risk_score > b.peak_risk_score)
        FROM changed c JOIN before b USING (session_id)
        WHERE (c.risk_score, c.peak_risk_score) IS DISTINCT FROM (b.risk_score, b.peak_risk_score)
        GROUP BY c.exam_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER live_inserted AFTER INSERT ON reporting.session_risk REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_risk();
CREATE TRIGGER live_updated AFTER UPDATE ON reporting.session_risk REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_risk();
REVOKE ALL ON FUNCTION note_live_sessions, note_live_changes, note_live_risk FROM PUBLIC;
