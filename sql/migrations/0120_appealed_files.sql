-- Files of evidence for an appeal, where the exam's policy says so (spec.md M-2).

ALTER TABLE claim_policies ADD COLUMN releases_files boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN claim_policies.releases_files IS 'Whether a claim''s candidate may fetch the evidence that was taken of them.';
GRANT UPDATE (releases_files) ON claim_policies TO veritas_core;

-- As before where none are released.
CREATE OR REPLACE FUNCTION record_of_claim_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'claim policy', json_build_array(p.organisation_id, p.window_days)::text
                           || CASE WHEN p.releases_judgement THEN ' releases judgement' ELSE '' END
                           || CASE WHEN p.releases_files THEN ' releases files' ELSE '' END
    FROM claim_policies p WHERE p.exam_id = of_id::uuid;
END
$$;
