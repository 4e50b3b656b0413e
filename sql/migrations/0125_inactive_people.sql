-- Candidates with whom nothing has happened for as long as their organisation's policy says are erased as anybody else is
-- (spec.md G-1, G-2): what is here says who they are, why they stay, and asks for it.

-- -- the policy

ALTER TABLE retention_policies
    ADD COLUMN inactive_days integer CHECK (inactive_days BETWEEN 365 AND 36500);   -- null: nobody is erased for being inactive
GRANT UPDATE (inactive_days) ON retention_policies TO veritas_core;

-- As before, and that column behind.
CREATE OR REPLACE VIEW retention_rules AS
SELECT o.id AS organisation_id, coalesce(p.events_days, 90) AS events_days, p.set_by, p.set_at,
       coalesce(p.evidence_days, 90) AS evidence_days, p.inactive_days
FROM organisations o
LEFT JOIN retention_policies p ON p.organisation_id = o.id;

-- As before where a further number is its default: what was committed to stays so.
CREATE OR REPLACE FUNCTION record_of_retention_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'policy', json_build_array(p.events_days, p.set_by, p.set_at)::text
                     || CASE WHEN p.evidence_days <> 90 THEN ' evidence ' || p.evidence_days ELSE '' END
                     || coalesce(' inactive ' || p.inactive_days, '')
    FROM retention_policies p WHERE p.organisation_id = of_id::uuid;
END
$$;

-- -- since when nothing has happened, and what keeps them

-- What was given to whom, by name or by group: since when, and until when; null: there is no end.
CREATE VIEW appointments AS
SELECT t.user_id, t.exam_id, greatest(t.given_at, o.created_at) AS given_at,
       coalesce(t.revoked_at, o.closes_at, t.closes_at) AS closes_at
FROM (SELECT a.user_id, a.id, a.exam_id, a.created_at AS given_at, a.closes_at, a.revoked_at FROM assignments a WHERE a.user_id IS NOT NULL
      UNION ALL
      SELECT m.user_id, a.id, a.exam_id, greatest(a.created_at, m.added_at), a.closes_at, a.revoked_at
      FROM group_members m JOIN assignments a ON a.group_id = m.group_id) t
LEFT JOIN assignment_overrides o ON o.assignment_id = t.id AND o.user_id = t.user_id;
COMMENT ON VIEW appointments IS 'Exams that were given to people, one by one or by group.';

-- Each candidate of an organisation whose policy takes the inactive: since when nothing has happened with them, when they are due, and
-- why they stay all the same; null: then they are erased. `looked_at` is never later than `due_at`, and costs nothing to know. The dry
-- run and the sweep both ask it, so that they cannot disagree.
CREATE VIEW inactive_people AS
SELECT u.id AS person_id, u.organisation_id, r.inactive_days AS days, l.active_at,
       greatest(u.created_at, u.last_login) + r.inactive_days * interval '1 day' AS looked_at,
       l.active_at + r.inactive_days * interval '1 day' AS due_at,
       (SELECT min(k.why) FROM (
            SELECT 'legal_hold' AS why FROM legal_holds h WHERE h.user_id = u.id AND h.status = 'placed'
            UNION ALL
            SELECT 'legal_hold' FROM submission_subjects s JOIN submissions b ON b.id = s.submission_id
            JOIN legal_holds h ON h.exam_id = b.exam_id AND h.status = 'placed'
            WHERE s.subject_id = u.id
            UNION ALL
            SELECT (SELECT min(x.why) FROM kept_attempts x WHERE x.attempt_id = a.id) FROM exam_attempts a WHERE a.student_id = u.id
            UNION ALL
            SELECT 'programme_runs' FROM programme_enrolments e WHERE e.user_id = u.id AND e.state = 'active'
            UNION ALL
            SELECT 'appointment_open' FROM appointments p JOIN exams e ON e.id = p.exam_id AND e.is_published
            WHERE p.user_id = u.id AND p.closes_at IS NULL) k) AS why
FROM retention_rules r
JOIN users u ON u.organisation_id = r.organisation_id AND u.role = 'student'
CROSS JOIN LATERAL (
    SELECT max(x.at) AS active_at FROM (
        SELECT greatest(u.created_at, u.last_login) AS at
        UNION ALL
        SELECT coalesce(s.revoked_at, s.expires_at) FROM logins s WHERE s.user_id = u.id        -- signed in until then
        UNION ALL
        SELECT i.created_at FROM invitations i WHERE i.user_id = u.id
        UNION ALL
        SELECT greatest(p.given_at, p.closes_at) FROM appointments p WHERE p.user_id = u.id
        UNION ALL
        SELECT greatest(e.enrolled_at, e.state_at) FROM programme_enrolments e WHERE e.user_id = u.id
        UNION ALL
        SELECT greatest(a.started_at, a.completed_at,
                        (SELECT max(g.scored_at) FROM submissions b JOIN submission_scores g ON g.submission_id = b.id
                         WHERE b.attempt_id = a.id),
                        (SELECT max(greatest(d.decided_at, d.overridden_at)) FROM proctor_decisions d WHERE d.attempt_id = a.id))
        FROM exam_attempts a WHERE a.student_id = u.id
        UNION ALL
        SELECT greatest(b.finalised_at, (SELECT max(g.scored_at) FROM submission_scores g WHERE g.submission_id = b.id))
        FROM submission_subjects s JOIN submissions b ON b.id = s.submission_id WHERE s.subject_id = u.id
        UNION ALL
        SELECT c.state_at FROM claims c WHERE c.candidate_id = u.id) x) l
WHERE r.inactive_days IS NOT NULL AND NOT EXISTS (SELECT FROM erasures z WHERE z.person_id = u.id);
COMMENT ON VIEW inactive_people IS 'Candidates with whom nothing happens any more, and why they stay: nothing else decides it.';
GRANT SELECT ON inactive_people TO veritas_pipeline;

-- -- asking for their erasure

-- Ask for the erasure of one of them, and lock them out, with the ledger's two events, or nothing. False: something has come between.
-- The events say `expected_days` and `since`, and so that is what holds. Nobody is waited for: whoever has the account in hand is not
-- inactive, and may wait for the lock of retention.
CREATE FUNCTION ask_inactive(
    of_person uuid, of_erasure uuid, expected_days integer, since timestamptz, at timestamptz, kinds text[], aggregate_types text[],
    aggregate_ids text[], ids uuid[], bodies bytea[], records text[], salts bytea[], places integer[])
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    person record;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nobody goes before their time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    SELECT id, organisation_id, is_active INTO person FROM users WHERE id = of_person FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR NOT EXISTS (
        SELECT FROM inactive_people i
        WHERE i.person_id = of_person AND i.days = expected_days AND i.active_at = since AND i.due_at <= at AND i.why IS NULL) THEN
        RETURN false;
    END IF;
    UPDATE users SET is_active = false, standing = standing + 1, token_generation = token_generation + 1 WHERE id = of_person;
    INSERT INTO erasures (id, organisation_id, person_id, requested_by, requested_at, stepped_at)
    VALUES (of_erasure, person.organisation_id, of_person, NULL, at, at);
    WITH given AS MATERIALIZED (
        SELECT g.*, c.hashes, c.committed
        FROM unnest(kinds, aggregate_types, aggregate_ids, ids, bodies, records, salts, places)
            AS g (kind, aggregate_type, aggregate_id, id, body, record, salt, place)
        CROSS JOIN LATERAL commit_to_record(g.record, g.aggregate_id, NULL, g.salt) c
        WHERE (g.kind = 'user.locked' AND g.aggregate_id = of_person::text AND person.is_active)
           OR (g.kind = 'erasure.requested' AND g.aggregate_id = of_erasure::text)
    ), salted AS (
        INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
        SELECT id, 'record:' || record, NULL, salt, hashes FROM given
    )
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
    SELECT id, person.organisation_id, at, kind, aggregate_type, aggregate_id, NULL, 'system', of_person,
           overlay(body PLACING convert_to(committed, 'UTF8') FROM place)
    FROM given;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION ask_inactive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ask_inactive TO veritas_pipeline;

-- -- what a sweep would take

-- As before, and who is due.
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
    ) k
    WHERE of_organisation IS NULL OR k.organisation_id = of_organisation
    GROUP BY k.organisation_id, k.what, k.days, k.why
    ORDER BY 1, 2, 4 NULLS FIRST
$$;
