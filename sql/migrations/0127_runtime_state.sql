-- What only a running attempt needed goes once its outcome has been durable for as many days as the organisation says (spec.md G-1,
-- decision 15): the answers as they were saved, which the submission has, and notices that the stream has. Drafts stay: how a text grew
-- is computed from them. Ranges of what clients sent stay: a retry, however late, gets the first reply.

-- -- the policy

ALTER TABLE retention_policies
    ADD COLUMN runtime_days integer NOT NULL DEFAULT 90 CHECK (runtime_days BETWEEN 30 AND 3650);   -- after the attempt
GRANT UPDATE (runtime_days) ON retention_policies TO veritas_core;

-- As before, and that column behind.
CREATE OR REPLACE VIEW retention_rules AS
SELECT o.id AS organisation_id, coalesce(p.events_days, 90) AS events_days, p.set_by, p.set_at,
       coalesce(p.evidence_days, 90) AS evidence_days, p.inactive_days, p.submissions_days, coalesce(p.runtime_days, 90) AS runtime_days
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
                     || CASE WHEN p.runtime_days <> 90 THEN ' runtime ' || p.runtime_days ELSE '' END
    FROM retention_policies p WHERE p.organisation_id = of_id::uuid;
END
$$;

-- -- whose runtime state is here

-- Attempts that have ended and whose runtime state is here: what a sweep looks at, so that it costs what may go and not what ever was.
CREATE TABLE ended_attempts (
    attempt_id      uuid PRIMARY KEY REFERENCES exam_attempts,
    organisation_id uuid NOT NULL,
    ended_at        timestamptz NOT NULL
);
CREATE INDEX ended_attempts_end ON ended_attempts (ended_at, attempt_id);
COMMENT ON TABLE ended_attempts IS 'Attempts that have ended, and whose runtime state is here.';
GRANT SELECT ON ended_attempts TO veritas_pipeline;

CREATE FUNCTION keep_ended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO ended_attempts (attempt_id, organisation_id, ended_at)
    SELECT NEW.id, e.organisation_id, coalesce(NEW.completed_at, now()) FROM exams e WHERE e.id = NEW.exam_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION keep_ended FROM PUBLIC;
CREATE TRIGGER ended AFTER UPDATE OF status ON exam_attempts FOR EACH ROW
    WHEN (OLD.status = 'in_progress' AND NEW.status <> 'in_progress') EXECUTE FUNCTION keep_ended();
INSERT INTO ended_attempts (attempt_id, organisation_id, ended_at)
SELECT a.id, e.organisation_id, coalesce(a.completed_at, now())
FROM exam_attempts a JOIN exams e ON e.id = a.exam_id
WHERE a.status <> 'in_progress' AND a.submitted_by IS DISTINCT FROM 'import';

-- When the runtime state of each is due, and why it stays all the same; null: then it goes. The dry run and the sweep both ask it, so that
-- they cannot disagree.
CREATE VIEW runtime_retention AS
SELECT d.attempt_id, d.organisation_id, d.ended_at, r.runtime_days AS days, d.ended_at + r.runtime_days * interval '1 day' AS due_at,
       CASE WHEN EXISTS (SELECT FROM proctor_sessions s JOIN session_notices n ON n.session_id = s.id AND n.appended_at IS NULL
                         WHERE s.attempt_id = d.attempt_id) THEN 'not_stored'
            ELSE (SELECT min(k.why) FROM kept_attempts k WHERE k.attempt_id = d.attempt_id) END AS why
FROM ended_attempts d
JOIN retention_rules r ON r.organisation_id = d.organisation_id;
COMMENT ON VIEW runtime_retention IS 'Attempts that have ended, whose runtime state is here, and why it stays.';
GRANT SELECT ON runtime_retention TO veritas_pipeline;

-- Take the runtime state of these attempts of one organisation, with the ledger's event that says so, or nothing. Returns how many rows
-- went; null where something has come between: of one of them it may not go any more. The event says `expected_days`, and so that is
-- what holds.
CREATE FUNCTION take_runtime(
    of_organisation uuid, expected_days integer, of_attempts uuid[], at timestamptz, by_event uuid, said bytea)
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    answers bigint;
    notices bigint;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nothing goes before its time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    IF cardinality(of_attempts) = 0 OR cardinality(of_attempts) <> (
        SELECT count(*) FROM runtime_retention d
        WHERE d.attempt_id = ANY (of_attempts) AND d.organisation_id = of_organisation AND d.days = expected_days AND d.due_at <= at
          AND d.why IS NULL) THEN
        RETURN NULL;
    END IF;
    DELETE FROM attempt_answers w WHERE w.attempt_id = ANY (of_attempts);
    GET DIAGNOSTICS answers = ROW_COUNT;
    DELETE FROM session_notices n USING proctor_sessions s WHERE s.attempt_id = ANY (of_attempts) AND n.session_id = s.id;
    GET DIAGNOSTICS notices = ROW_COUNT;
    DELETE FROM ended_attempts d WHERE d.attempt_id = ANY (of_attempts);
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
    VALUES (by_event, of_organisation, at, 'runtime.removed', 'organisation', of_organisation::text, NULL, 'system', NULL, said);
    RETURN answers + notices;
END
$$;
REVOKE ALL ON FUNCTION take_runtime FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_runtime TO veritas_pipeline;

-- -- what a sweep would take

-- As before, and runtime state.
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
        UNION ALL
        SELECT r.organisation_id, 'runtime', r.days, r.why,
               (SELECT count(*) FROM attempt_answers w WHERE w.attempt_id = r.attempt_id), r.ended_at, r.ended_at
        FROM runtime_retention r
        WHERE r.ended_at < at AND r.due_at <= at
    ) k
    WHERE of_organisation IS NULL OR k.organisation_id = of_organisation
    GROUP BY k.organisation_id, k.what, k.days, k.why
    ORDER BY 1, 2, 4 NULLS FIRST
$$;
