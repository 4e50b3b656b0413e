-- Remediation (spec.md M-1): what was published never changes, so a wrong key is put right beside it. The key that counts is the
-- published one with all remediations over it, in order; each keeps the key as it stands after it.

CREATE TABLE remediations (
    id                    uuid PRIMARY KEY,
    organisation_id       uuid NOT NULL REFERENCES organisations,
    evaluation_version_id uuid NOT NULL REFERENCES evaluation_versions,
    status                text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'applying', 'applied', 'cancelled')),
    changes               jsonb NOT NULL,                    -- of items, by position; empty where it undoes another
    undoes                uuid REFERENCES remediations,
    reason                text NOT NULL,                     -- for staff, and for the ledger's reader
    note_en               text NOT NULL,                     -- for candidates whose result changes
    note_ar               text NOT NULL,
    created_by            uuid NOT NULL REFERENCES users,
    created_at            timestamptz NOT NULL,
    number                integer CHECK (number > 0),        -- its place among those of the version, once it is applied
    key                   jsonb,                             -- of the version, as it stands after it
    applied_by            uuid REFERENCES users,
    applied_at            timestamptz,                       -- since then whatever is scored is scored by `key`
    completed_at          timestamptz,                       -- since then every submission from before is, too
    cancelled_by          uuid REFERENCES users,
    cancelled_at          timestamptz,
    UNIQUE (evaluation_version_id, number),
    CHECK ((undoes IS NULL) = (jsonb_array_length(changes) > 0)),
    CHECK (CASE WHEN status IN ('applying', 'applied') THEN num_nonnulls(number, key, applied_by, applied_at) = 4
                ELSE num_nulls(number, key, applied_by, applied_at) = 4 END),
    CHECK ((status = 'applied') = (completed_at IS NOT NULL)),
    CHECK ((status = 'cancelled') = (num_nonnulls(cancelled_by, cancelled_at) = 2))
);
CREATE INDEX remediations_listed ON remediations (organisation_id, id);
CREATE INDEX remediations_of_version ON remediations (evaluation_version_id, id);
-- One after the other: what the next one changes is what the last one has left.
CREATE UNIQUE INDEX remediations_applying ON remediations (evaluation_version_id) WHERE status = 'applying';

-- How far it is: written by the steps that rescore.
CREATE TABLE remediation_progress (
    remediation_id   uuid PRIMARY KEY REFERENCES remediations,
    submissions      integer NOT NULL,                       -- that were there when it was applied
    rescored         integer NOT NULL DEFAULT 0,
    changed          integer NOT NULL DEFAULT 0,             -- of them, those that have other points now, or out of other ones
    now_passed       integer NOT NULL DEFAULT 0,
    now_failed       integer NOT NULL DEFAULT 0,
    after_exam       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',    -- behind which the next step begins
    after_submission uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    is_done          boolean NOT NULL DEFAULT false
);
CREATE INDEX remediation_progress_open ON remediation_progress (remediation_id) WHERE NOT is_done;

-- What a score was made by, beside what it says; null on scores from before.
ALTER TABLE submission_scores
    ADD COLUMN remediation_id  uuid,                         -- the newest that its key had in it; null: as it was published
    ADD COLUMN given_points    jsonb,                        -- points that people gave, and out of how many, by position
    ADD COLUMN item_max_points jsonb;                        -- by position, where they are other ones than were published

CREATE TABLE remediated_submissions (
    remediation_id uuid NOT NULL REFERENCES remediations,
    submission_id  uuid NOT NULL REFERENCES submissions,
    revision       integer NOT NULL,                         -- of the score that it made, over the one before
    is_changed     boolean NOT NULL,
    PRIMARY KEY (remediation_id, submission_id)
);
CREATE INDEX remediated_submissions_changed ON remediated_submissions (remediation_id, submission_id) WHERE is_changed;
CREATE INDEX remediated_submissions_of ON remediated_submissions (submission_id);

-- Points that people gave by the newest score, each with out of how many; of scores from before: what waited for a grader, and
-- all points of what was imported.
CREATE FUNCTION given_points(of_submission uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(c.given_points, (
        SELECT coalesce(jsonb_object_agg(i.position, jsonb_build_array(c.item_points ->> i.position::text, i.max_points::text)), '{}')
        FROM submission_items i
        JOIN submissions s ON s.id = i.submission_id
        WHERE i.submission_id = c.submission_id AND c.item_points ->> i.position::text IS NOT NULL
          AND (i.points IS NULL OR s.submitted_by = 'import')))
    FROM submission_scores c
    WHERE c.submission_id = of_submission
    ORDER BY c.revision DESC
    LIMIT 1
$$;

-- -- its states, as core_api/remediations/states.py has them

CREATE FUNCTION move_remediation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (old.status, new.status) NOT IN (('draft', 'applying'), ('draft', 'cancelled'), ('applying', 'applied')) THEN
        RAISE EXCEPTION 'a remediation that is % does not become %', old.status, new.status USING ERRCODE = 'check_violation';
    END IF;
    IF (to_jsonb(new) - ARRAY['status', 'number', 'key', 'applied_by', 'applied_at', 'completed_at', 'cancelled_by', 'cancelled_at'])
       IS DISTINCT FROM
       (to_jsonb(old) - ARRAY['status', 'number', 'key', 'applied_by', 'applied_at', 'completed_at', 'cancelled_by', 'cancelled_at'])
       OR old.status = 'applying'
          AND (new.number, new.key, new.applied_by, new.applied_at)
              IS DISTINCT FROM (old.number, old.key, old.applied_by, old.applied_at) THEN
        RAISE EXCEPTION 'what a remediation says never changes' USING ERRCODE = 'check_violation';
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER moved BEFORE UPDATE ON remediations FOR EACH ROW EXECUTE FUNCTION move_remediation();
CREATE TRIGGER kept_row BEFORE DELETE ON remediations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON remediations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON remediated_submissions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON remediated_submissions FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON remediated_submissions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE remediations ENABLE ALWAYS TRIGGER moved;
ALTER TABLE remediations ENABLE ALWAYS TRIGGER kept_row;
ALTER TABLE remediations ENABLE ALWAYS TRIGGER kept;
ALTER TABLE remediated_submissions ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE remediated_submissions ENABLE ALWAYS TRIGGER erased;
ALTER TABLE remediated_submissions ENABLE ALWAYS TRIGGER kept;

-- -- who sees and writes what

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['remediations', 'remediation_progress', 'remediated_submissions']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_ingest, veritas_pipeline, veritas_analyst USING (true)', guarded);
    END LOOP;
END
$$;
-- Staff see those of the versions of exams that they reach; candidates none: what concerns them says corrections_of.
CREATE POLICY asker ON remediations TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN evaluation_version_id IN (SELECT v.evaluation_version_id FROM reached_versions v)
           END);
CREATE POLICY asker ON remediation_progress TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation')
                THEN EXISTS (SELECT FROM remediations r WHERE r.id = remediation_id) END);
CREATE POLICY asker ON remediated_submissions TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation')
                THEN EXISTS (SELECT FROM submissions s WHERE s.id = submission_id) END);
-- Whoever may only look at one of the exams that it reaches changes nothing; what is rescored, the system alone writes.
CREATE VIEW remediable_versions AS
SELECT x.evaluation_version_id
FROM exams x
WHERE x.evaluation_version_id IS NOT NULL AND x.organisation_id = (SELECT asker_organisation())
GROUP BY x.evaluation_version_id
HAVING bool_and(x.id IN (SELECT exam_id FROM edited_exams));
GRANT SELECT ON remediable_versions TO veritas_core;
CREATE POLICY edited_in ON remediations AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (CASE (SELECT asker_view())
                    WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
                    WHEN 'staff' THEN evaluation_version_id IN (SELECT v.evaluation_version_id FROM remediable_versions v)
                    WHEN 'system' THEN true
                END);
CREATE POLICY edited ON remediations AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN evaluation_version_id IN (SELECT v.evaluation_version_id FROM remediable_versions v)
               WHEN 'system' THEN true
           END);
CREATE POLICY rescored_in ON remediated_submissions AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK ((SELECT asker_view()) = 'system');
CREATE POLICY rescored ON remediation_progress AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING ((SELECT asker_view()) = 'system');
GRANT SELECT, INSERT, UPDATE (status, number, key, applied_by, applied_at, completed_at, cancelled_by, cancelled_at)
    ON remediations TO veritas_core;
GRANT SELECT, INSERT, UPDATE (rescored, changed, now_passed, now_failed, after_exam, after_submission, is_done)
    ON remediation_progress TO veritas_core;
GRANT SELECT, INSERT ON remediated_submissions TO veritas_core;
GRANT SELECT ON remediations, remediated_submissions TO veritas_pipeline;

-- -- what whoever scores asks, a candidate who hands in, too

CREATE FUNCTION remediation_lock(version uuid) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('remediation ' || version::text, 0)
$$;
-- Whoever scores holds this until their commit; whoever begins to remediate waits for them, and rescores what they have written.
-- Two statements on purpose: the second one sees what was committed while the first one waited.
CREATE FUNCTION current_remediation(version uuid) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(remediation_lock(version));
    RETURN (SELECT r.id FROM remediations r WHERE r.evaluation_version_id = version AND r.number IS NOT NULL
            ORDER BY r.number DESC LIMIT 1);
END
$$;
CREATE FUNCTION remediated_key(of_remediation uuid) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.key FROM remediations r
    WHERE r.id = of_remediation
      AND CASE (SELECT asker_view())
              WHEN 'system' THEN true
              WHEN 'candidate' THEN EXISTS (SELECT FROM own_attempts a WHERE a.evaluation_version_id = r.evaluation_version_id)
              ELSE r.organisation_id = (SELECT asker_organisation())
          END
$$;
CREATE FUNCTION corrections_of(of_attempt uuid)
    RETURNS TABLE (corrected_at timestamptz, note_en text, note_ar text, score_before numeric, score numeric,
                   percentage_before numeric, percentage numeric, passed_before boolean, passed boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.scored_at, r.note_en, r.note_ar, b.score, c.score, b.percentage, c.percentage, b.passed, c.passed
    FROM own_attempts a
    JOIN submissions s ON s.attempt_id = a.id
    JOIN remediated_submissions m ON m.submission_id = s.id AND m.is_changed
    JOIN remediations r ON r.id = m.remediation_id
    JOIN submission_scores c ON c.submission_id = m.submission_id AND c.revision = m.revision
    JOIN submission_scores b ON b.submission_id = m.submission_id AND b.revision = m.revision - 1
    WHERE a.id = of_attempt AND (SELECT asker_view()) = 'candidate'
    ORDER BY r.number DESC
$$;
COMMENT ON FUNCTION corrections_of(uuid) IS
    'Of the asker''s own attempt: how its result changed by remediations, and the notes that say why, newest first.';
REVOKE ALL ON FUNCTION current_remediation, remediated_key, corrections_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION current_remediation, remediated_key, corrections_of TO veritas_core;

-- -- what the ledger commits to

CREATE FUNCTION record_of_remediation(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'remediation', json_build_array(
        r.id, r.organisation_id, r.evaluation_version_id, r.status, r.changes, r.undoes, r.reason, r.note_en, r.note_ar, r.created_by,
        r.number, encode(sha256(convert_to(r.key::text, 'UTF8')), 'hex'), r.applied_by, r.applied_at, r.completed_at, r.cancelled_by,
        r.cancelled_at)::text
    FROM remediations r WHERE r.id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_remediation FROM PUBLIC;
-- As before, with parts that older submissions have none of.
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
    SELECT 'scored by ' || c.revision, json_build_array(c.remediation_id, c.given_points, c.item_max_points)::text
    FROM submission_scores c
    WHERE c.submission_id = of_id::uuid AND num_nonnulls(c.remediation_id, c.given_points, c.item_max_points) > 0
    UNION ALL
    SELECT 'remediated ' || m.remediation_id, json_build_array(m.revision, m.is_changed)::text
    FROM remediated_submissions m WHERE m.submission_id = of_id::uuid
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
