-- Claims, disputes, resolutions (spec.md M-2; evalium-data-flow.txt, section 5): a candidate says that a result, or that it was made
-- void, is wrong; staff answer; where the answer does not do, or comes too late, somebody else looks a second time. Who judged an
-- attempt resolves no claim about it. That staff are at work on a review is another thing: `review_claims`.

-- -- until when what may be claimed, exam by exam

-- No row: the deployment's defaults.
CREATE TABLE claim_policies (
    exam_id         uuid PRIMARY KEY REFERENCES exams,
    organisation_id uuid NOT NULL REFERENCES organisations,
    window_days     integer NOT NULL CHECK (window_days BETWEEN 0 AND 365)      -- after a result was shown; 0: never
);
COMMENT ON TABLE claim_policies IS 'Of an exam: how long its results may be claimed against.';

-- -- claims: what a candidate says is wrong, and how far it is

CREATE TABLE claims (
    id              uuid PRIMARY KEY,
    submission_id   uuid NOT NULL REFERENCES submissions,
    attempt_id      uuid NOT NULL REFERENCES exam_attempts,     -- down to organisation_id: the submission's
    exam_id         uuid NOT NULL REFERENCES exams,
    candidate_id    uuid NOT NULL REFERENCES users,
    organisation_id uuid NOT NULL REFERENCES organisations,
    subject         text NOT NULL CHECK (subject IN ('result', 'decision')),    -- decision: that the result is void
    state           text NOT NULL CHECK (state IN ('opened', 'acknowledged', 'asked', 'under_dispute', 'resolved', 'withdrawn',
                                                   'expired')),
    is_open         boolean NOT NULL GENERATED ALWAYS AS (state IN ('opened', 'acknowledged', 'asked', 'under_dispute')) STORED,
    opened_at       timestamptz NOT NULL,
    state_at        timestamptz NOT NULL,       -- since when it is in this state
    deadline_at     timestamptz,                -- until when it is to leave it; of a first resolution: to be disputed
    remind_at       timestamptz,                -- when staff, or the candidate, are reminded of it; null: they were, or need not be
    acknowledged_by uuid REFERENCES users,
    CONSTRAINT open_has_a_deadline CHECK (is_open <= (deadline_at IS NOT NULL)),
    CONSTRAINT over_has_none CHECK (state NOT IN ('withdrawn', 'expired') OR deadline_at IS NULL),
    CONSTRAINT acknowledged_by_somebody_else CHECK (acknowledged_by <> candidate_id),
    CONSTRAINT acknowledged_by_somebody CHECK (state NOT IN ('acknowledged', 'asked', 'expired') OR acknowledged_by IS NOT NULL)
);
CREATE UNIQUE INDEX claims_open ON claims (submission_id, subject) WHERE is_open;
CREATE INDEX claims_attempt ON claims (attempt_id);
CREATE INDEX claims_candidate ON claims (candidate_id, id);
CREATE INDEX claims_organisation ON claims (organisation_id, is_open, coalesce(deadline_at, state_at), id);
CREATE INDEX claims_exam ON claims (exam_id, is_open, coalesce(deadline_at, state_at), id);
CREATE INDEX claims_remind ON claims (remind_at) WHERE remind_at IS NOT NULL;
CREATE INDEX claims_lapsing ON claims (deadline_at) WHERE state IN ('opened', 'acknowledged', 'asked');
COMMENT ON TABLE claims IS 'Candidates'' claims against results. Who is at work on a review stands in review_claims.';

-- What both sides say; each reads all of it.
CREATE TABLE claim_statements (
    claim_id     uuid NOT NULL REFERENCES claims ON DELETE CASCADE,
    number       integer NOT NULL CHECK (number > 0),
    side         text NOT NULL CHECK (side IN ('candidate', 'staff')),
    author_id    uuid NOT NULL REFERENCES users,
    text         text NOT NULL CHECK (length(text) BETWEEN 1 AND 4000),
    evidence_ids bigint[] NOT NULL CHECK (cardinality(evidence_ids) <= 50),     -- of the attempt's proctor sessions
    said_at      timestamptz NOT NULL,
    PRIMARY KEY (claim_id, number)
);

-- A second look: one for each claim at most.
CREATE TABLE disputes (
    claim_id  uuid PRIMARY KEY REFERENCES claims ON DELETE CASCADE,
    raised    text NOT NULL CHECK (raised IN ('candidate', 'staff', 'system')), -- system: the answer was due
    raised_by uuid REFERENCES users,
    raised_at timestamptz NOT NULL,
    CHECK ((raised = 'system') = (raised_by IS NULL))
);

CREATE TABLE resolutions (
    claim_id       uuid NOT NULL REFERENCES claims ON DELETE CASCADE,
    number         smallint NOT NULL CHECK (number IN (1, 2)),
    outcome        text NOT NULL CHECK (outcome IN ('upheld', 'rejected')),
    led_to         text NOT NULL CHECK (led_to IN ('nothing', 'decision', 'grade')),
    decision_id    bigint REFERENCES proctor_decisions,         -- that was overridden with it
    graded_as      integer,                                     -- the revision of the score that came with it
    text_en        text CHECK (length(text_en) BETWEEN 1 AND 4000),
    text_ar        text CHECK (length(text_ar) BETWEEN 1 AND 4000),
    resolved_by    uuid NOT NULL REFERENCES users,
    resolved_at    timestamptz NOT NULL,
    PRIMARY KEY (claim_id, number),
    CONSTRAINT told_why CHECK (num_nonnulls(text_en, text_ar) > 0),
    CONSTRAINT only_upheld_leads_on CHECK (outcome = 'upheld' OR led_to = 'nothing'),
    CONSTRAINT leads_to_it CHECK ((led_to = 'decision') = (decision_id IS NOT NULL) AND (led_to = 'grade') = (graded_as IS NOT NULL))
);
CREATE INDEX resolutions_decision ON resolutions (decision_id) WHERE decision_id IS NOT NULL;

-- -- the machine: core_api/claims/states.py has the same table

CREATE FUNCTION claim_moves() RETURNS TABLE (from_state text, act text, to_state text, party text) LANGUAGE sql IMMUTABLE AS $$
    VALUES ('opened', 'acknowledge', 'acknowledged', 'staff'),
           ('opened', 'escalate', 'under_dispute', 'staff'),
           ('opened', 'escalate', 'under_dispute', 'system'),
           ('opened', 'withdraw', 'withdrawn', 'candidate'),
           ('acknowledged', 'ask', 'asked', 'staff'),
           ('acknowledged', 'escalate', 'under_dispute', 'staff'),
           ('acknowledged', 'escalate', 'under_dispute', 'system'),
           ('acknowledged', 'resolve', 'resolved', 'staff'),
           ('acknowledged', 'withdraw', 'withdrawn', 'candidate'),
           ('asked', 'answer', 'acknowledged', 'candidate'),
           ('asked', 'withdraw', 'withdrawn', 'candidate'),
           ('asked', 'expire', 'expired', 'system'),
           ('under_dispute', 'resolve', 'resolved', 'staff'),
           ('under_dispute', 'withdraw', 'withdrawn', 'candidate'),
           ('resolved', 'escalate', 'under_dispute', 'candidate')
$$;

-- Whether somebody judged, graded or proctored what a claim is about; and, once it is disputed, whether they handled the claim.
CREATE FUNCTION had_hand(of_claim uuid, person uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM claims c
        WHERE c.id = of_claim
          AND (c.candidate_id = person
               OR EXISTS (SELECT FROM proctor_decisions d JOIN decision_acts a ON a.decision_id = d.id
                          WHERE d.attempt_id = c.attempt_id AND a.acted_by = person)
               OR EXISTS (SELECT FROM proctor_sessions s JOIN blind_reviews b ON b.session_id = s.id
                          WHERE s.attempt_id = c.attempt_id AND b.reviewed_by = person)
               OR EXISTS (SELECT FROM proctor_sessions s JOIN session_actions a ON a.session_id = s.id
                          WHERE s.attempt_id = c.attempt_id AND a.acted_by = person)
               OR EXISTS (SELECT FROM submission_scores g WHERE g.submission_id = c.submission_id AND g.scored_by = person)
               OR EXISTS (SELECT FROM risk_adjustments r WHERE r.attempt_id = c.attempt_id AND r.created_by = person)
               OR EXISTS (SELECT FROM disputes d
                          WHERE d.claim_id = c.id
                            AND (c.acknowledged_by = person OR d.raised_by = person
                                 OR EXISTS (SELECT FROM resolutions r WHERE r.claim_id = c.id AND r.resolved_by = person)
                                 OR EXISTS (SELECT FROM claim_statements t
                                            WHERE t.claim_id = c.id AND t.author_id = person AND t.said_at <= d.raised_at)))))
$$;
REVOKE ALL ON FUNCTION had_hand FROM PUBLIC;
GRANT EXECUTE ON FUNCTION had_hand TO veritas_core;

CREATE FUNCTION begin_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'opened' THEN
        RAISE EXCEPTION 'a claim begins as opened, not as %', NEW.state USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER begun BEFORE INSERT ON claims FOR EACH ROW EXECUTE FUNCTION begin_claim();

-- A claim moves by the table alone, for each party as it says; who has no view of their own, the owner, counts as any. What it
-- moves into is there before: the dispute, the resolution. In its owner's name: it rests on what is there.
CREATE FUNCTION move_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    by_party text := CASE asker_view() WHEN 'candidate' THEN 'candidate' WHEN 'staff' THEN 'staff' WHEN 'organisation' THEN 'staff'
                                       WHEN 'system' THEN 'system' END;
BEGIN
    IF to_jsonb(NEW) - '{state,is_open,state_at,deadline_at,remind_at,acknowledged_by}'::text[]
       IS DISTINCT FROM to_jsonb(OLD) - '{state,is_open,state_at,deadline_at,remind_at,acknowledged_by}'::text[] THEN
        RAISE EXCEPTION 'what a claim is about is not changed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.state = OLD.state THEN
        IF to_jsonb(NEW) - '{remind_at,is_open}'::text[] IS DISTINCT FROM to_jsonb(OLD) - '{remind_at,is_open}'::text[]
           OR by_party <> 'system' THEN
            RAISE EXCEPTION 'a claim changes as it moves' USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT FROM claim_moves() m
                   WHERE m.from_state = OLD.state AND m.to_state = NEW.state AND m.party = coalesce(by_party, m.party)) THEN
        RAISE EXCEPTION 'a claim does not become % from % by %', NEW.state, OLD.state, coalesce(by_party, 'anybody')
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.state = 'under_dispute' AND NOT EXISTS (SELECT FROM disputes d WHERE d.claim_id = NEW.id))
       OR (NEW.state = 'under_dispute' AND EXISTS (SELECT FROM resolutions r WHERE r.claim_id = NEW.id AND r.number = 2))
       OR (NEW.state = 'resolved' AND NOT EXISTS (SELECT FROM resolutions r WHERE r.claim_id = NEW.id
                                                  AND (r.number = 2 OR OLD.state = 'acknowledged'))) THEN
        RAISE EXCEPTION 'a claim is % once that is written', NEW.state USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER moved BEFORE UPDATE ON claims FOR EACH ROW EXECUTE FUNCTION move_claim();

-- A claim is resolved once as it is acknowledged, or by the first answer's silence; and once as it is disputed: the second.
CREATE FUNCTION resolve_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    stands text;
BEGIN
    SELECT state INTO stands FROM claims WHERE id = NEW.claim_id;
    IF stands IS DISTINCT FROM (CASE NEW.number WHEN 1 THEN 'acknowledged' ELSE 'under_dispute' END) THEN
        RAISE EXCEPTION 'a claim that is % is not resolved so', stands USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF had_hand(NEW.claim_id, NEW.resolved_by) THEN
        RAISE EXCEPTION 'who had a hand in what is claimed does not resolve it' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER resolved BEFORE INSERT ON resolutions FOR EACH ROW EXECUTE FUNCTION resolve_claim();

-- -- what is said stays, and goes only with an event of its own

CREATE FUNCTION refuse_claim_removal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone uuid := coalesce(to_jsonb(OLD) ->> 'claim_id', to_jsonb(OLD) ->> 'id')::uuid;
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_events
                   WHERE aggregate_id = gone::text AND kind = 'claim.erased' AND xmin::text = pg_current_xact_id()::xid::text) THEN
        RAISE EXCEPTION 'DELETE on % is refused: no event of this transaction says that claim % is erased', TG_TABLE_NAME, gone
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
REVOKE ALL ON FUNCTION move_claim, begin_claim, resolve_claim, refuse_claim_removal FROM PUBLIC;
CREATE TRIGGER erased BEFORE DELETE ON claims FOR EACH ROW EXECUTE FUNCTION refuse_claim_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON claims FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON claim_statements FOR EACH ROW EXECUTE FUNCTION refuse_claim_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON claim_statements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON claim_statements FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON disputes FOR EACH ROW EXECUTE FUNCTION refuse_claim_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON disputes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON disputes FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased BEFORE DELETE ON resolutions FOR EACH ROW EXECUTE FUNCTION refuse_claim_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON resolutions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON resolutions FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE claims ENABLE ALWAYS TRIGGER erased;
ALTER TABLE claims ENABLE ALWAYS TRIGGER kept;
ALTER TABLE claim_statements ENABLE ALWAYS TRIGGER erased;
ALTER TABLE claim_statements ENABLE ALWAYS TRIGGER kept;
ALTER TABLE claim_statements ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE disputes ENABLE ALWAYS TRIGGER erased;
ALTER TABLE disputes ENABLE ALWAYS TRIGGER kept;
ALTER TABLE disputes ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE resolutions ENABLE ALWAYS TRIGGER erased;
ALTER TABLE resolutions ENABLE ALWAYS TRIGGER kept;
ALTER TABLE resolutions ENABLE ALWAYS TRIGGER append_only;

-- -- what a claim keeps: for who takes away what is old

-- Attempts, with their submission, that nothing is taken from: a claim is open, or its first answer may still be disputed.
CREATE VIEW held_attempts AS
SELECT attempt_id, submission_id, exam_id, candidate_id, organisation_id, min(opened_at) AS held_since
FROM claims
WHERE is_open OR (state = 'resolved' AND deadline_at > now())
GROUP BY attempt_id, submission_id, exam_id, candidate_id, organisation_id;
-- When the last claim about an attempt was over, or will be; no row: there was none, or one is open.
CREATE VIEW claims_closed AS
SELECT attempt_id, max(greatest(state_at, deadline_at)) AS closed_at
FROM claims
GROUP BY attempt_id
HAVING NOT bool_or(is_open);
GRANT SELECT ON held_attempts, claims_closed TO veritas_pipeline;

-- -- who sees and writes what

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['claim_policies', 'claims', 'claim_statements', 'disputes', 'resolutions']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_pipeline USING (true)', guarded);
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['claim_statements', 'disputes', 'resolutions']::regclass[] LOOP
        EXECUTE format('CREATE POLICY asker ON %s TO veritas_core USING (EXISTS (SELECT FROM claims c WHERE c.id = claim_id))',
                       guarded);
    END LOOP;
END
$$;
CREATE POLICY asker ON claim_policies TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               WHEN 'candidate' THEN exam_id IN (SELECT exam_id FROM own_attempts)
           END);
CREATE POLICY edited_in ON claim_policies AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (CASE (SELECT asker_view()) WHEN 'organisation' THEN true
                                           WHEN 'staff' THEN exam_id IN (SELECT * FROM edited_exam_ids()) END);
CREATE POLICY edited ON claim_policies AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING (CASE (SELECT asker_view()) WHEN 'organisation' THEN true
                                      WHEN 'staff' THEN exam_id IN (SELECT * FROM edited_exam_ids()) END);

CREATE POLICY asker ON claims TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               WHEN 'candidate' THEN candidate_id = (SELECT asker())
           END);
CREATE POLICY opened_in ON claims AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK ((SELECT asker_view()) = 'candidate' AND candidate_id = (SELECT asker())
                AND EXISTS (SELECT FROM submissions s WHERE s.id = submission_id AND s.author_id = candidate_id
                                                        AND s.attempt_id = claims.attempt_id));
-- Whoever may only look at an exam moves no claim.
CREATE POLICY moved ON claims AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING (CASE (SELECT asker_view()) WHEN 'candidate' THEN true WHEN 'organisation' THEN true WHEN 'system' THEN true
                                      WHEN 'staff' THEN exam_id IN (SELECT * FROM judged_exam_ids()) END);
CREATE POLICY said_in ON claim_statements AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (author_id = (SELECT asker())
                AND side = CASE (SELECT asker_view()) WHEN 'candidate' THEN 'candidate' ELSE 'staff' END
                AND EXISTS (SELECT FROM claims c
                            WHERE c.id = claim_id AND c.is_open
                              AND CASE (SELECT asker_view())
                                      WHEN 'candidate' THEN c.candidate_id = author_id
                                      WHEN 'organisation' THEN c.candidate_id <> author_id
                                      WHEN 'staff' THEN c.candidate_id <> author_id
                                                        AND c.exam_id IN (SELECT * FROM judged_exam_ids()) END));
CREATE POLICY raised_in ON disputes AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (CASE (SELECT asker_view())
                    WHEN 'system' THEN raised = 'system'
                    WHEN 'candidate' THEN raised = 'candidate' AND raised_by = (SELECT asker())
                    ELSE raised = 'staff' AND raised_by = (SELECT asker())
                         AND EXISTS (SELECT FROM claims c
                                     WHERE c.id = claim_id
                                       AND ((SELECT asker_view()) = 'organisation' OR c.exam_id IN (SELECT * FROM judged_exam_ids())))
                END);
-- The second time who adjudicates the exam, or an admin.
CREATE POLICY resolved_in ON resolutions AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (resolved_by = (SELECT asker())
                AND CASE (SELECT asker_view())
                        WHEN 'organisation' THEN true
                        WHEN 'staff' THEN EXISTS (
                            SELECT FROM claims c
                            WHERE c.id = claim_id AND c.exam_id IN (SELECT * FROM judged_exam_ids())
                              AND (number = 1 OR c.exam_id IN (SELECT exam_id FROM adjudicated_exams)))
                    END);

CREATE POLICY bound ON claims AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END);
CREATE POLICY bound ON claim_policies AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END);
DO $$
DECLARE
    of_claim regclass;
BEGIN
    FOREACH of_claim IN ARRAY ARRAY['claim_statements', 'disputes', 'resolutions']::regclass[] LOOP
        EXECUTE format('CREATE POLICY bound ON %s AS RESTRICTIVE TO veritas_core USING'
                       ' (CASE WHEN (SELECT asker_exam()) IS NULL THEN true'
                       ' ELSE EXISTS (SELECT FROM claims c WHERE c.id = claim_id) END)', of_claim);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE (window_days) ON claim_policies TO veritas_core;
GRANT SELECT, INSERT, UPDATE (state, state_at, deadline_at, remind_at, acknowledged_by) ON claims TO veritas_core;
GRANT SELECT, INSERT ON claim_statements, disputes, resolutions TO veritas_core;

-- -- what the ledger commits to

CREATE FUNCTION record_of_claim(of_id text, of_subject uuid) RETURNS TABLE (part text, state text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'claim', json_build_array(c.submission_id, c.attempt_id, c.exam_id, c.candidate_id, c.organisation_id, c.subject, c.state,
                                     c.opened_at, c.state_at, c.deadline_at, c.acknowledged_by)::text
    FROM claims c WHERE c.id = of_id::uuid
    UNION ALL
    SELECT 'statement ' || t.number, json_build_array(t.side, t.author_id, t.text, t.evidence_ids, t.said_at)::text
    FROM claim_statements t WHERE t.claim_id = of_id::uuid
    UNION ALL
    SELECT 'dispute', json_build_array(d.raised, d.raised_by, d.raised_at)::text FROM disputes d WHERE d.claim_id = of_id::uuid
    UNION ALL
    SELECT 'resolution ' || r.number, json_build_array(r.outcome, r.led_to, r.decision_id, r.graded_as, r.text_en,
                                                       r.text_ar, r.resolved_by, r.resolved_at)::text
    FROM resolutions r WHERE r.claim_id = of_id::uuid;
END
$$;
CREATE FUNCTION record_of_claim_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'claim policy', json_build_array(p.organisation_id, p.window_days)::text
    FROM claim_policies p WHERE p.exam_id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_claim, record_of_claim_policy FROM PUBLIC;
