-- What an enrolment is judged for: each fact of a submission that its version names reaches it once, and is taken up once
-- (spec.md M-3). The outbox's reader writes them, the orchestrator says when it judged.

CREATE TABLE programme_causes (
    enrolment_id  uuid NOT NULL REFERENCES programme_enrolments,
    event_id      uuid NOT NULL,                                -- of the ledger's event: finalised, scored, voided, restored
    submission_id uuid NOT NULL,
    told_at       timestamptz NOT NULL,
    judged_at     timestamptz,                                  -- null: waits
    PRIMARY KEY (enrolment_id, event_id)
);
CREATE INDEX programme_causes_waiting ON programme_causes (enrolment_id) WHERE judged_at IS NULL;

CREATE FUNCTION take_up_programme_cause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.judged_at IS NOT NULL OR to_jsonb(NEW) - 'judged_at' IS DISTINCT FROM to_jsonb(OLD) - 'judged_at' THEN
        RAISE EXCEPTION 'what an enrolment was judged for is taken up once' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION take_up_programme_cause FROM PUBLIC;
CREATE TRIGGER once BEFORE UPDATE ON programme_causes FOR EACH ROW EXECUTE FUNCTION take_up_programme_cause();

ALTER TABLE programme_causes ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON programme_causes TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON programme_causes TO veritas_pipeline USING (true);
GRANT SELECT, UPDATE (judged_at) ON programme_causes TO veritas_core;
GRANT SELECT, INSERT ON programme_causes TO veritas_pipeline;
GRANT SELECT (event_id) ON outbox TO veritas_pipeline;
