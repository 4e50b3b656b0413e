-- What a candidate handed in goes after as many days as their organisation's policy says (spec.md G-1): answers in words, drafts, the
-- text that was hashed. The result stays, with its revisions, statistics and receipt; who the candidate is stays, too. What goes
-- and how is what an erasure does with a submission.

-- -- the policy

ALTER TABLE retention_policies
    ADD COLUMN submissions_days integer CHECK (submissions_days BETWEEN 365 AND 36500);    -- after the hand-in; null: they are kept
GRANT UPDATE (submissions_days) ON retention_policies TO veritas_core;

-- As before, and that column behind.
CREATE OR REPLACE VIEW retention_rules AS
SELECT o.id AS organisation_id, coalesce(p.events_days, 90) AS events_days, p.set_by, p.set_at,
       coalesce(p.evidence_days, 90) AS evidence_days, p.inactive_days, p.submissions_days
FROM organisations o
LEFT JOIN retention_policies p ON p.organisation_id = o.id;

-- As before where a further number is its default: what was committed to stays so.
CREATE OR REPLACE FUNCTION record_of_retention_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'policy', json_build_array(p.events_days, p.set_by, p.set_at)::text
                     || CASE WHEN p.evidence_days <> 90 THEN ' evidence ' || p.evidence_days ELSE '' END
                     || coalesce(' inactive ' || p.inactive_days, '') || coalesce(' submissions ' || p.submissions_days, '')
    FROM retention_policies p WHERE p.organisation_id = of_id::uuid;
END
$$;

-- -- what is due

-- What a sweep looks at, so that it costs what may go and not what ever went. Taken at once: the file is applied while nobody hands in.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX submissions_with_content ON submissions (organisation_id, finalised_at, id) WHERE content <> '' AND attempt_id IS NOT NULL;

-- Submissions whose contents have gone by policy; of an erased person's, the erasure says so.
CREATE TABLE gone_contents (
    submission_id uuid PRIMARY KEY REFERENCES submissions,
    days          integer NOT NULL,
    gone_at       timestamptz NOT NULL,
    event_id      uuid NOT NULL                 -- of the ledger, which says that they went
);
COMMENT ON TABLE gone_contents IS 'Submissions whose contents have gone by policy.';
CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON gone_contents FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT ON gone_contents TO veritas_pipeline;

-- When the contents of each submission of an attempt are due, and why they stay all the same; null: then they go. The dry run and the
-- sweep both ask it, so that they cannot disagree.
CREATE VIEW submission_retention AS
SELECT b.id AS submission_id, b.organisation_id, b.finalised_at, r.submissions_days AS days,
       b.finalised_at + r.submissions_days * interval '1 day' AS due_at, octet_length(b.content) AS size_bytes,
       coalesce((SELECT min(k.why) FROM kept_attempts k WHERE k.attempt_id = b.attempt_id),
                CASE WHEN (SELECT c.ungraded FROM submission_scores c WHERE c.submission_id = b.id ORDER BY c.revision DESC LIMIT 1) > 0
                     THEN 'not_graded' END) AS why
FROM retention_rules r
JOIN submissions b ON b.organisation_id = r.organisation_id AND b.attempt_id IS NOT NULL AND b.content <> ''
WHERE r.submissions_days IS NOT NULL;
COMMENT ON VIEW submission_retention IS 'Submissions whose contents are still here, where a policy lets them go.';
GRANT SELECT ON submission_retention TO veritas_pipeline;

-- -- what goes of a submission, by policy or with its person

-- As before, or a step of retention: it has said of the submission that it names that its contents have gone.
CREATE OR REPLACE FUNCTION is_erasing() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM erasures
                   WHERE id = nullif(current_setting('veritas.erasure', true), '')::uuid AND status = 'running'
                     AND xmin::text = pg_current_xact_id()::xid::text)
        OR EXISTS (SELECT FROM gone_contents
                   WHERE submission_id = nullif(current_setting('veritas.gone_contents', true), '')::uuid
                     AND xmin::text = pg_current_xact_id()::xid::text)
$$;

CREATE FUNCTION erase_contents(of_submission uuid) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT is_erasing() THEN
        RAISE EXCEPTION 'no step of an erasure has begun' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE submissions b SET content = '', body_sha256 = CASE b.kind WHEN 'observation' THEN b.body_sha256 END,
           idempotency_key = CASE b.kind WHEN 'observation' THEN b.idempotency_key END
    WHERE b.id = of_submission;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY VALUES ('submissions', 1::bigint, 'submission.redacted', of_submission::text);
    RETURN QUERY WITH gone AS (
        UPDATE submission_items i SET response = erased_response(i.response)
        WHERE i.submission_id = of_submission AND i.response IS DISTINCT FROM erased_response(i.response) RETURNING 1)
        SELECT 'submission_items', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        UPDATE submission_drafts d SET text = '' WHERE d.submission_id = of_submission AND d.text <> '' RETURNING 1)
        SELECT 'submission_drafts', count(*), NULL, NULL FROM gone;
END
$$;

-- As before: of a person also why a grader gave the points that they gave.
CREATE OR REPLACE FUNCTION erase_submission(of_submission uuid) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT e.* FROM erase_contents(of_submission) e;
    RETURN QUERY WITH gone AS (
        UPDATE submission_scores c SET reason = ''
        WHERE c.submission_id = of_submission AND c.scored_by IS NOT NULL AND c.reason <> '' RETURNING 1)
        SELECT 'submission_scores', count(*), NULL, NULL FROM gone;
END
$$;

-- Take the contents of these submissions of one organisation, with an event of the ledger for each, or nothing. Returns how many went;
-- null where something has come between: one of them may not go any more. The events say `expected_days`, and so that is what holds.
CREATE FUNCTION take_contents(
    of_organisation uuid, expected_days integer, of_submissions uuid[], at timestamptz, ids uuid[], bodies bytea[], salts bytea[],
    places integer[])
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    due bigint;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nothing goes before its time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    SELECT count(*) INTO due FROM submission_retention d
    WHERE d.submission_id = ANY (of_submissions) AND d.organisation_id = of_organisation AND d.days = expected_days AND d.due_at <= at
      AND d.why IS NULL;
    IF due = 0 OR due <> cardinality(of_submissions) OR due <> cardinality(ids) THEN
        RETURN NULL;
    END IF;
    INSERT INTO gone_contents (submission_id, days, gone_at, event_id)
    SELECT g.submission_id, expected_days, at, g.id FROM unnest(of_submissions, ids) g (submission_id, id);
    PERFORM set_config('veritas.gone_contents', of_submissions[1]::text, true);
    PERFORM erase_contents(g.id) FROM unnest(of_submissions) g (id);
    DELETE FROM attempt_answers w USING submissions b WHERE b.id = ANY (of_submissions) AND w.attempt_id = b.attempt_id;
    DELETE FROM attempt_drafts w USING submissions b WHERE b.id = ANY (of_submissions) AND w.attempt_id = b.attempt_id;
    DELETE FROM appeal_bundles w USING claims c WHERE c.id = w.claim_id AND c.submission_id = ANY (of_submissions);
    WITH given AS MATERIALIZED (
        SELECT g.*, c.hashes, c.committed
        FROM unnest(of_submissions, ids, bodies, salts, places) AS g (submission_id, id, body, salt, place)
        CROSS JOIN LATERAL commit_to_record('submission', g.submission_id::text, NULL, g.salt) c
    ), salted AS (
        INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
        SELECT id, 'record:submission', NULL, salt, hashes FROM given
    )
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
    SELECT id, of_organisation, at, 'submission.redacted', 'submission', submission_id::text, NULL, 'system', NULL,
           overlay(body PLACING convert_to(committed, 'UTF8') FROM place)
    FROM given;
    DELETE FROM ledger_salts s USING ledger_events e, unnest(of_submissions, ids) g (submission_id, id)
    WHERE e.aggregate_id = g.submission_id::text AND s.event_id = e.id AND s.event_id <> g.id AND s.name = 'record:submission';
    -- what follows from it is computed again
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT l.layer, CASE l.layer WHEN 'attempt' THEN a.id WHEN 'exam' THEN a.exam_id ELSE a.student_id END, a.id, a.exam_id
    FROM submissions b
    JOIN exam_attempts a ON a.id = b.attempt_id
    CROSS JOIN (VALUES ('attempt'), ('exam'), ('student')) l (layer)
    WHERE b.id = ANY (of_submissions) AND (l.layer <> 'attempt' OR a.status = 'completed');
    RETURN due;
END
$$;
REVOKE ALL ON FUNCTION erase_contents, take_contents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_contents TO veritas_pipeline;

-- -- what a sweep would take

-- As before, and contents that are due.
CREATE OR REPLACE FUNCTION retention_forecast(of_organisation uuid, at timestamptz) RETURNS TABLE (
    organisation_id uuid, what text, days integer, why text, pieces bigint, total bigint, oldest timestamptz, newest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.organisation_id, k.what, k.days, k.why, count(*), sum(k.amount)::bigint, min(k.first_at), max(k.last_at)
    FROM (
        SELECT d.organisation_id, 'events' AS what, d.days, d.why, d.total_events AS amount, d.first_at, d.last_at
        FROM event_retention d
        WHERE d.ended_at < at AND d.due_at <= at
        UNION ALL
        SELECT d.organisation_id, 'evidence', d.days, d.why, coalesce(d.size_bytes, 0), d.requested_at, d.requested_at
        FROM evidence_retention d
        WHERE d.requested_at <= at - d.days * interval '1 day' AND d.due_at <= at
        UNION ALL
        SELECT p.organisation_id, 'people', p.days, p.why, 1, p.active_at, p.active_at
        FROM inactive_people p
        WHERE p.looked_at <= at AND p.due_at <= at
        UNION ALL
        SELECT s.organisation_id, 'submissions', s.days, s.why, s.size_bytes, s.finalised_at, s.finalised_at
        FROM submission_retention s
        WHERE s.finalised_at <= at - s.days * interval '1 day'
    ) k
    WHERE of_organisation IS NULL OR k.organisation_id = of_organisation
    GROUP BY k.organisation_id, k.what, k.days, k.why
    ORDER BY 1, 2, 4 NULLS FIRST
$$;
