-- What the mover finds changed in its store (spec.md V-2): noted at the piece, told on the ledger once, and moved nowhere.

ALTER TABLE evidence ADD COLUMN damaged_at timestamptz;
COMMENT ON COLUMN evidence.damaged_at IS 'When its bytes were last found to be others than were stored; null: never, or no more.';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX evidence_damaged ON evidence (id) WHERE damaged_at IS NOT NULL;
DROP TRIGGER closed ON evidence;
CREATE TRIGGER closed BEFORE UPDATE ON evidence FOR EACH ROW
    WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION keep_all_but('tier', 'moved_at', 'expires_at', 'damaged_at');

-- As before; and what was damaged and could be moved is damaged no more.
CREATE OR REPLACE FUNCTION move_evidence(of_id bigint, to_tier text, by_event uuid, at timestamptz, said bytea, place integer,
                                         salt bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved evidence;
    record_hashes text;
    record_committed text;
BEGIN
    UPDATE evidence SET tier = to_tier, moved_at = at, damaged_at = NULL
    WHERE id = of_id AND tier <> to_tier AND closed_at IS NOT NULL
    RETURNING * INTO moved;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT c.hashes, c.committed INTO record_hashes, record_committed
    FROM commit_to_record('evidence', of_id::text, NULL, salt) c;
    INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
    VALUES (by_event, 'record:evidence', NULL, salt, record_hashes);
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                               subject_id, body)
    VALUES (by_event, moved.organisation_id, at, 'evidence.moved', 'evidence', of_id::text, NULL, 'system', NULL,
            overlay(said PLACING convert_to(record_committed, 'UTF8') FROM place));
    RETURN true;
END
$$;

-- Whether this was the first time: then it is an event. `said` is the event's body.
CREATE FUNCTION note_damaged_evidence(of_id bigint, by_event uuid, at timestamptz, said bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known timestamptz;
    organisation uuid;
BEGIN
    SELECT damaged_at, organisation_id INTO known, organisation FROM evidence WHERE id = of_id AND closed_at IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE evidence SET damaged_at = at WHERE id = of_id;
    IF known IS NOT NULL THEN
        RETURN false;
    END IF;
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                               subject_id, body)
    VALUES (by_event, organisation, at, 'evidence.damaged', 'evidence', of_id::text, NULL, 'system', NULL, said);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION note_damaged_evidence FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_damaged_evidence TO veritas_pipeline;
