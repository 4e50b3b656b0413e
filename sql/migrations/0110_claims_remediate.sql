-- A resolution may lead to a remediation (spec.md M-2): it names the one that was applied, with it or before it.

-- A new column without a value: nothing is read or written.
ALTER TABLE resolutions ADD COLUMN remediation_id uuid;
-- squawk-ignore constraint-missing-not-valid,adding-foreign-key-constraint
ALTER TABLE resolutions ADD CONSTRAINT resolutions_remediation_fkey FOREIGN KEY (remediation_id) REFERENCES remediations NOT VALID;
COMMENT ON COLUMN resolutions.remediation_id IS 'By which the key of the evaluation was put right; null: by none.';

-- What is in their place asks of the rows that are there what these asked.
-- squawk-ignore ban-drop-constraint
ALTER TABLE resolutions DROP CONSTRAINT resolutions_led_to_check, DROP CONSTRAINT leads_to_it;
ALTER TABLE resolutions
    ADD CONSTRAINT resolutions_led_to_check CHECK (led_to IN ('nothing', 'decision', 'grade', 'remediation')) NOT VALID,
    ADD CONSTRAINT leads_to_it CHECK ((led_to = 'decision') = (decision_id IS NOT NULL) AND (led_to = 'grade') = (graded_as IS NOT NULL)
                                      AND (led_to = 'remediation') = (remediation_id IS NOT NULL)) NOT VALID;

-- As before, but for the revision of a score that a remediation made: of a whole version, by a key. It is the hand of whoever applied
-- it in what is claimed since; a claim from before, which the remediation may answer, was not about it.
CREATE OR REPLACE FUNCTION had_hand(of_claim uuid, person uuid) RETURNS boolean
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
               OR EXISTS (SELECT FROM submission_scores g
                          WHERE g.submission_id = c.submission_id AND g.scored_by = person
                            AND (g.scored_at <= c.opened_at
                                 OR NOT EXISTS (SELECT FROM remediated_submissions m
                                                WHERE m.submission_id = g.submission_id AND m.revision = g.revision)))
               OR EXISTS (SELECT FROM risk_adjustments r WHERE r.attempt_id = c.attempt_id AND r.created_by = person)
               OR EXISTS (SELECT FROM disputes d
                          WHERE d.claim_id = c.id
                            AND (c.acknowledged_by = person OR d.raised_by = person
                                 OR EXISTS (SELECT FROM resolutions r WHERE r.claim_id = c.id AND r.resolved_by = person)
                                 OR EXISTS (SELECT FROM claim_statements t
                                            WHERE t.claim_id = c.id AND t.author_id = person AND t.said_at <= d.raised_at)))))
$$;

-- As before, and what it names is a remediation of what the attempt was scored by, that counts.
CREATE OR REPLACE FUNCTION resolve_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
    IF NEW.remediation_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM claims c JOIN exams e ON e.id = c.exam_id JOIN remediations r ON r.evaluation_version_id = e.evaluation_version_id
        WHERE c.id = NEW.claim_id AND r.id = NEW.remediation_id AND r.number IS NOT NULL) THEN
        RAISE EXCEPTION 'that remediation does not reach what is claimed' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END
$$;

-- As before, with a part that older resolutions have none of.
CREATE OR REPLACE FUNCTION record_of_claim(of_id text, of_subject uuid) RETURNS TABLE (part text, state text) LANGUAGE plpgsql STABLE AS $$
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
    FROM resolutions r WHERE r.claim_id = of_id::uuid
    UNION ALL
    SELECT 'resolution ' || r.number || ' remediates', r.remediation_id::text
    FROM resolutions r WHERE r.claim_id = of_id::uuid AND r.remediation_id IS NOT NULL;
END
$$;
