-- An appeal's bundle: what is held of a claim and of its attempt, as it stood when the candidate asked for it (spec.md M-2). The
-- ledger has the hash of its manifest, which has the hash of each part.

ALTER TABLE claim_policies ADD COLUMN releases_judgement boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN claim_policies.releases_judgement IS 'Whether bundles hold final decisions with their reasons, and the risk''s trace.';
GRANT UPDATE (releases_judgement) ON claim_policies TO veritas_core;

CREATE TABLE appeal_bundles (
    claim_id uuid NOT NULL REFERENCES claims ON DELETE CASCADE,
    number   smallint NOT NULL CHECK (number BETWEEN 1 AND 10),
    manifest text NOT NULL,
    parts    json NOT NULL,                 -- texts by name, each hashed in the manifest
    event_id uuid NOT NULL UNIQUE,
    made_at  timestamptz NOT NULL,
    PRIMARY KEY (claim_id, number)
);
CREATE TRIGGER append_only BEFORE UPDATE ON appeal_bundles FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON appeal_bundles FOR EACH ROW EXECUTE FUNCTION refuse_claim_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON appeal_bundles FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE appeal_bundles ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE appeal_bundles ENABLE ALWAYS TRIGGER erased;
ALTER TABLE appeal_bundles ENABLE ALWAYS TRIGGER kept;

-- Made and read by the claim's candidate alone.
ALTER TABLE appeal_bundles ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON appeal_bundles TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON appeal_bundles TO veritas_pipeline USING (true);
CREATE POLICY asker ON appeal_bundles TO veritas_core
    USING ((SELECT asker_view()) = 'candidate'
           AND EXISTS (SELECT FROM claims c WHERE c.id = claim_id AND c.candidate_id = (SELECT asker())));
CREATE POLICY bound ON appeal_bundles AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true
                ELSE EXISTS (SELECT FROM claims c WHERE c.id = claim_id) END);
GRANT SELECT, INSERT ON appeal_bundles TO veritas_core;

-- As before where nothing is released.
CREATE OR REPLACE FUNCTION record_of_claim_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'claim policy', json_build_array(p.organisation_id, p.window_days)::text
                           || CASE WHEN p.releases_judgement THEN ' releases judgement' ELSE '' END
    FROM claim_policies p WHERE p.exam_id = of_id::uuid;
END
$$;
