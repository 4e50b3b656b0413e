-- Results from elsewhere (spec.md W-7): submissions of kind `imported`, the time that each item took, and the versions that a
-- text had. They are as durable as what is handed in here: append-only, covered by their event, erased as submissions are.

-- -- wider than before

-- squawk-ignore ban-drop-constraint
ALTER TABLE exam_attempts DROP CONSTRAINT exam_attempts_submitted_by_check;
ALTER TABLE exam_attempts ADD CONSTRAINT exam_attempts_submitted_by_check
    CHECK (submitted_by IN ('candidate', 'expiry', 'proctor', 'import')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE submissions DROP CONSTRAINT submissions_submitted_by_check;
ALTER TABLE submissions ADD CONSTRAINT submissions_submitted_by_check
    CHECK (submitted_by IN ('candidate', 'expiry', 'observer', 'proctor', 'import')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE submissions DROP CONSTRAINT submissions_kind_check;
ALTER TABLE submissions ADD CONSTRAINT submissions_kind_check CHECK (kind IN ('attempt', 'observation', 'imported')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE submissions DROP CONSTRAINT submissions_check;
ALTER TABLE submissions ADD CONSTRAINT submissions_check CHECK ((kind <> 'observation') = (attempt_id IS NOT NULL)) NOT VALID;
ALTER TABLE submissions ADD CONSTRAINT submissions_imported_by_import CHECK ((kind = 'imported') = (submitted_by = 'import')) NOT VALID;

ALTER TABLE submission_items ADD COLUMN seconds double precision;
ALTER TABLE submission_items ADD CONSTRAINT submission_items_seconds_check CHECK (seconds >= 0 AND seconds < 'infinity') NOT VALID;
COMMENT ON COLUMN submission_items.seconds IS 'Time on the item, where whoever imported it knew; null: not known.';

-- -- the versions that an imported text had before the last, which is the item's response

CREATE TABLE submission_drafts (
    submission_id uuid NOT NULL,
    position      integer NOT NULL,
    version       integer NOT NULL CHECK (version > 0),
    text          text NOT NULL,
    saved_at      timestamptz,                          -- null: not known
    PRIMARY KEY (submission_id, position, version),
    FOREIGN KEY (submission_id, position) REFERENCES submission_items (submission_id, position)
);
CREATE TRIGGER append_only BEFORE UPDATE ON submission_drafts FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON submission_drafts FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON submission_drafts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE submission_drafts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE submission_drafts ENABLE ALWAYS TRIGGER erased;
ALTER TABLE submission_drafts ENABLE ALWAYS TRIGGER kept;
ALTER TABLE submission_drafts ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON submission_drafts TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON submission_drafts TO veritas_ingest, veritas_pipeline, veritas_analyst USING (true);
CREATE POLICY asker ON submission_drafts TO veritas_core USING (EXISTS (SELECT FROM submissions s WHERE s.id = submission_id));
GRANT SELECT, INSERT ON submission_drafts TO veritas_core;
GRANT SELECT ON submission_drafts TO veritas_pipeline;

-- -- who may bring them in: an admin, for anybody of the organisation

ALTER POLICY asker ON submissions
    WITH CHECK (organisation_id = (SELECT asker_organisation())
                AND (author_id = (SELECT asker()) OR (kind = 'imported' AND (SELECT asker_view()) = 'organisation')));

-- -- what the ledger commits to

-- As before, but for the time that items took and for versions of texts: there were none, so every event that was made with the
-- definition of before still says what the rows say.
CREATE OR REPLACE FUNCTION record_of_submission(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'submission', json_build_array(
        s.id, s.kind, s.organisation_id, s.exam_id, s.attempt_id, s.author_id, s.submitted_by, s.idempotency_key,
        encode(s.body_sha256, 'hex'), s.version_snapshot, encode(sha256(s.content), 'hex'), encode(s.content_sha256, 'hex'),
        s.event_id, s.finalised_at)::text
    FROM submissions s WHERE s.id = of_id::uuid
    UNION ALL
    SELECT 'item ' || i.position, json_build_array(
        i.question_id, i.question_version_id, i.kind, i.response, i.client_seq, i.saved_at, i.points, i.max_points)::text
    FROM submission_items i WHERE i.submission_id = of_id::uuid
    UNION ALL
    SELECT 'seconds ' || i.position, i.seconds::text
    FROM submission_items i WHERE i.submission_id = of_id::uuid AND i.seconds IS NOT NULL
    UNION ALL
    SELECT 'draft ' || d.position || '.' || d.version, json_build_array(d.text, d.saved_at)::text
    FROM submission_drafts d WHERE d.submission_id = of_id::uuid
    UNION ALL
    SELECT 'score ' || c.revision, json_build_array(
        c.scoring_version, c.item_points, c.points, c.max_points, c.ungraded, c.score, c.percentage, c.passed, c.reason,
        c.scored_by, c.scored_at)::text
    FROM submission_scores c WHERE c.submission_id = of_id::uuid
    UNION ALL
    SELECT 'subject ' || b.subject_id, b.kind FROM submission_subjects b WHERE b.submission_id = of_id::uuid
    UNION ALL
    SELECT 'evidence ' || v.evidence_id, json_build_array(v.position)::text
    FROM submission_evidence v WHERE v.submission_id = of_id::uuid
    UNION ALL
    SELECT 'outcome', json_build_array(a.status, a.submitted_by, a.completed_at, a.duration_seconds, a.score, a.percentage,
                                       a.passed, a.submission_data)::text
    FROM submissions s JOIN exam_attempts a ON a.id = s.attempt_id WHERE s.id = of_id::uuid;
END
$$;
