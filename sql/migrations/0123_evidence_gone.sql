-- Files of evidence go by policy (spec.md G-1, V-2, decision 12). What a piece was, its hashes and its custody stay.

ALTER TABLE evidence ADD COLUMN gone_at timestamptz;
COMMENT ON COLUMN evidence.gone_at IS 'Since when its file is gone by the organisation''s policy; null: it is kept.';
DROP TRIGGER closed ON evidence;
CREATE TRIGGER closed BEFORE UPDATE ON evidence FOR EACH ROW
    WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION keep_all_but('tier', 'moved_at', 'expires_at', 'damaged_at', 'gone_at');
-- What a sweep looks at, so that it costs what may go and not what ever was.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX evidence_kept ON evidence (organisation_id, requested_at, id) WHERE gone_at IS NULL AND status <> 4;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX evidence_hot;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX evidence_hot ON evidence (closed_at) WHERE tier = 'hot' AND status IN (2, 3) AND gone_at IS NULL;

-- Files that are gone and may lie in a store still: a row goes once they do not.
CREATE TABLE leaving_evidence (
    evidence_id bigint PRIMARY KEY REFERENCES evidence ON DELETE CASCADE
);
COMMENT ON TABLE leaving_evidence IS 'Evidence whose files are to be deleted from the stores.';
GRANT SELECT, DELETE ON leaving_evidence TO veritas_pipeline;

-- -- when, and why not yet

-- When the file of each piece may go, and why it stays all the same; null: then it may. What is counted from is the end of the
-- attempt, or of the last claim or review of it; of a finding the observation, what amends it, or the last review of either.
CREATE VIEW evidence_retention AS
SELECT e.id AS evidence_id, e.organisation_id, e.requested_at, e.tier, e.size_bytes, e.sha256, r.evidence_days AS days,
       k.since, k.since + r.evidence_days * interval '1 day' AS due_at,
       CASE WHEN e.status = 1 THEN 'upload_open' ELSE k.why END AS why
FROM evidence e
JOIN retention_rules r ON r.organisation_id = e.organisation_id
CROSS JOIN LATERAL (
    SELECT greatest(e.requested_at, e.closed_at, s.ended_at, coalesce(a.completed_at, a.expires_at),
                    (SELECT c.closed_at FROM claims_closed c WHERE c.attempt_id = s.attempt_id),
                    (SELECT max(t.acted_at) FROM proctor_decisions d JOIN decision_acts t ON t.decision_id = d.id
                     WHERE d.attempt_id = s.attempt_id)) AS since,
           CASE WHEN s.ended_at IS NULL THEN 'attempt_runs'
                ELSE (SELECT min(x.why) FROM kept_attempts x WHERE x.attempt_id = s.attempt_id) END AS why
    FROM proctor_sessions s
    JOIN exam_attempts a ON a.id = s.attempt_id
    WHERE s.id = e.session_id
    UNION ALL
    SELECT greatest(e.requested_at, e.closed_at, o.at),
           CASE WHEN o.is_held
                     OR EXISTS (SELECT FROM legal_holds h WHERE h.status = 'placed' AND h.exam_id = e.exam_id)
                     OR EXISTS (SELECT FROM legal_holds h WHERE h.status = 'placed' AND h.user_id = e.uploader_id) THEN 'legal_hold'
                WHEN o.is_returned THEN 'review_open'
                WHEN EXISTS (SELECT FROM observation_drafts d
                             WHERE d.observer_id = e.uploader_id AND d.exam_id = e.exam_id
                               AND (d.amends = ANY (o.ids)
                                    OR d.content -> 'evidence' @> jsonb_build_array(jsonb_build_object('evidence_id', e.id))))
                     THEN 'draft_open' END
    FROM (
        WITH RECURSIVE amended AS (
            SELECT n.id, n.finalised_at FROM submission_evidence v JOIN submissions n ON n.id = v.submission_id
            WHERE v.evidence_id = e.id
            UNION ALL
            SELECT n.id, n.finalised_at FROM amended m JOIN submissions n ON n.amends = m.id
        )
        SELECT array_agg(m.id) AS ids,
               max(greatest(m.finalised_at, (SELECT max(w.reviewed_at) FROM observation_reviews w WHERE w.submission_id = m.id))) AS at,
               bool_or(EXISTS (SELECT FROM submission_subjects b JOIN legal_holds h ON h.user_id = b.subject_id AND h.status = 'placed'
                               WHERE b.submission_id = m.id)) AS is_held,
               bool_or(NOT EXISTS (SELECT FROM submissions n WHERE n.amends = m.id)
                       AND (SELECT w.verdict FROM observation_reviews w WHERE w.submission_id = m.id
                            ORDER BY w.number DESC LIMIT 1) = 'returned') AS is_returned
        FROM amended m
    ) o
    WHERE e.session_id IS NULL
) k
WHERE e.gone_at IS NULL AND e.status <> 4;
GRANT SELECT ON evidence_retention TO veritas_pipeline;

-- As before, and evidence.
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
    ) k
    WHERE of_organisation IS NULL OR k.organisation_id = of_organisation
    GROUP BY k.organisation_id, k.what, k.days, k.why
    ORDER BY 1, 2, 4 NULLS FIRST
$$;

-- Until when pieces that the asker sees are kept, unless something keeps them longer.
CREATE FUNCTION evidence_kept_until(of_ids bigint[]) RETURNS TABLE (evidence_id bigint, until timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.evidence_id, d.due_at FROM evidence_retention d
    WHERE d.evidence_id = ANY (of_ids) AND d.organisation_id = asker_organisation()
$$;
-- How many days the asker's organisation keeps evidence.
CREATE FUNCTION own_evidence_days() RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.evidence_days FROM retention_rules r WHERE r.organisation_id = asker_organisation()
$$;
REVOKE ALL ON FUNCTION evidence_kept_until, own_evidence_days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION evidence_kept_until, own_evidence_days TO veritas_core;

-- -- taking it: first it is said, then the files are deleted

-- Say of pieces of one organisation that their files are gone, with the ledger's event of the step and one of each piece; returns
-- how many bytes they have. Null: something has come between, and one of them may not go any more. Arrays: in the order of `pieces`.
CREATE FUNCTION take_evidence(of_organisation uuid, pieces bigint[], at timestamptz, by_event uuid, said bytea, piece_events uuid[],
                              piece_bodies bytea[])
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    due integer;
    bytes bigint;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nothing goes before its time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    -- whoever attaches one to an observation, or moves one, is waited for; what they have done counts
    PERFORM FROM evidence e WHERE e.id = ANY (pieces) ORDER BY e.id FOR UPDATE;
    SELECT count(*) INTO due
    FROM evidence_retention d
    WHERE d.evidence_id = ANY (pieces) AND d.organisation_id = of_organisation AND d.due_at <= at AND d.why IS NULL;
    IF due <> cardinality(pieces) OR due = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE evidence e SET gone_at = at WHERE e.id = ANY (pieces);
    INSERT INTO leaving_evidence (evidence_id) SELECT unnest(pieces);
    DELETE FROM detector_claims c WHERE c.evidence_id = ANY (pieces);
    WITH sizes AS (
        SELECT mod(c.evidence_id, 16) AS slot, sum(c.size_bytes) AS size_bytes
        FROM evidence_chunks c
        WHERE c.evidence_id = ANY (pieces) AND c.stored_at IS NOT NULL
        GROUP BY 1
    ), freed AS (
        UPDATE evidence_usage u SET size_bytes = greatest(0, u.size_bytes - s.size_bytes)
        FROM sizes s
        WHERE u.organisation_id = of_organisation AND u.slot = s.slot
    )
    SELECT coalesce(sum(s.size_bytes), 0) INTO bytes FROM sizes s;
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id,
                               body)
    SELECT t.event_id, of_organisation, at, 'evidence.expired', 'evidence', t.piece::text, NULL::uuid, 'system', NULL::uuid, t.body
    FROM unnest(pieces, piece_events, piece_bodies) AS t (piece, event_id, body)
    UNION ALL
    SELECT by_event, of_organisation, at, 'evidence.swept', 'organisation', of_organisation::text, NULL, 'system', NULL, said;
    RETURN bytes;
END
$$;
REVOKE ALL ON FUNCTION take_evidence FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_evidence TO veritas_pipeline;

-- -- what is gone is moved no more, and found damaged no more

CREATE OR REPLACE FUNCTION move_evidence(of_id bigint, to_tier text, by_event uuid, at timestamptz, said bytea, place integer,
                                         salt bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved evidence;
    record_hashes text;
    record_committed text;
BEGIN
    UPDATE evidence SET tier = to_tier, moved_at = at, damaged_at = NULL
    WHERE id = of_id AND tier <> to_tier AND closed_at IS NOT NULL AND gone_at IS NULL
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

CREATE OR REPLACE FUNCTION note_damaged_evidence(of_id bigint, by_event uuid, at timestamptz, said bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known timestamptz;
    organisation uuid;
BEGIN
    SELECT damaged_at, organisation_id INTO known, organisation
    FROM evidence WHERE id = of_id AND closed_at IS NOT NULL AND gone_at IS NULL FOR UPDATE;
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

-- As before; what went by policy was taken from what the organisation has stored then.
CREATE OR REPLACE FUNCTION erase_evidence(of_id bigint) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    bytes bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM evidence_to_erase(current_setting('veritas.erasure')::uuid) e WHERE e.evidence_id = of_id) OR NOT is_erasing() THEN
        RAISE EXCEPTION 'no step of an erasure has begun for evidence %', of_id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY WITH gone AS (DELETE FROM submission_evidence v WHERE v.evidence_id = of_id RETURNING v.submission_id)
        SELECT 'submission_evidence', 1::bigint, 'submission.redacted', gone.submission_id::text FROM gone;
    WITH gone AS (DELETE FROM evidence_chunks c WHERE c.evidence_id = of_id RETURNING c.size_bytes, c.stored_at)
    SELECT coalesce(sum(gone.size_bytes) FILTER (WHERE gone.stored_at IS NOT NULL), 0) INTO bytes FROM gone;
    UPDATE evidence_usage u SET size_bytes = greatest(0, u.size_bytes - bytes)
    FROM evidence e
    WHERE e.id = of_id AND e.gone_at IS NULL AND u.organisation_id = e.organisation_id AND u.slot = mod(e.id, 16);
    DELETE FROM ledger_salts s USING ledger_events e
    WHERE e.aggregate_id = of_id::text AND e.aggregate_type = 'evidence' AND s.event_id = e.id AND s.name = 'record:evidence';
    DELETE FROM evidence e WHERE e.id = of_id;
    RETURN QUERY VALUES ('evidence', 1::bigint, 'evidence.erased', of_id::text);
END
$$;
