-- Erasing a person (spec.md G-2, decision 13): names, addresses, texts, files and what opens the ledger's commitments to them go;
-- statistics, scores and the ledger stay, under an id that leads to nobody.
--
-- An erasure runs in steps, each one transaction of one worker. Every row that a record covers and that a step has changed is
-- committed to anew, by an event of its own, so that the ledger still proves what is there.

CREATE TABLE erasures (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    person_id       uuid NOT NULL UNIQUE REFERENCES users,
    status          text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'running', 'done')),
    step            text NOT NULL DEFAULT 'account'
                    CHECK (step IN ('account', 'attempts', 'observations', 'evidence', 'archive', 'projections', 'builds', 'done')),
    past            text NOT NULL DEFAULT '',           -- of a step that goes by id: the last one that is done
    taken           jsonb NOT NULL DEFAULT '{}',        -- what went, by table: rows, or pieces
    requested_by    uuid REFERENCES users,              -- null: a backup that was restored knows nobody of that id
    requested_at    timestamptz NOT NULL,
    stepped_at      timestamptz NOT NULL,
    done_at         timestamptz,
    CHECK ((status = 'done') = (done_at IS NOT NULL) AND (status = 'done') = (step = 'done')),
    CHECK (person_id <> requested_by)
);
CREATE INDEX erasures_open ON erasures (requested_at) WHERE status <> 'done';
CREATE INDEX erasures_organisation ON erasures (organisation_id, id);
COMMENT ON TABLE erasures IS 'People who are erased, or will be: what a restored backup has to be told of again.';

CREATE FUNCTION keep_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (('requested', 'running'), ('running', 'running'), ('running', 'done'))
       OR (OLD.id, OLD.organisation_id, OLD.person_id, OLD.requested_by, OLD.requested_at)
          IS DISTINCT FROM (NEW.id, NEW.organisation_id, NEW.person_id, NEW.requested_by, NEW.requested_at) THEN
        RAISE EXCEPTION 'an erasure is requested, runs, and is done' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER onwards BEFORE UPDATE ON erasures FOR EACH ROW EXECUTE FUNCTION keep_erasure();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON erasures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON erasures TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON erasures TO veritas_pipeline USING (true);
CREATE POLICY asker ON erasures TO veritas_core
    USING ((SELECT asker_view()) = 'organisation' AND organisation_id = (SELECT asker_organisation()));
GRANT SELECT, INSERT ON erasures TO veritas_core;
GRANT SELECT ON erasures TO veritas_pipeline;

CREATE FUNCTION record_of_erasure(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'erasure', json_build_array(x.organisation_id, x.person_id, x.status, x.step, x.past, x.taken, x.requested_by,
                                       x.requested_at, x.stepped_at, x.done_at)::text
    FROM erasures x WHERE x.id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_erasure FROM PUBLIC;

-- What keeps a person from being erased; null: nothing.
CREATE FUNCTION erasure_hindered_by(of_person uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT min(h.why) FROM (
        SELECT 'legal_hold' AS why FROM legal_holds l WHERE l.user_id = of_person AND l.status = 'placed'
        UNION ALL
        SELECT k.why FROM exam_attempts a JOIN kept_attempts k ON k.attempt_id = a.id
        WHERE a.student_id = of_person AND k.why <> 'review_open') h
$$;
REVOKE ALL ON FUNCTION erasure_hindered_by FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erasure_hindered_by TO veritas_core, veritas_pipeline;

-- -- what is kept for ever gives way to the step of an erasure, and to nothing else

-- Whether this transaction is such a step: it has moved the erasure that it names.
CREATE FUNCTION is_erasing() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM erasures
                   WHERE id = nullif(current_setting('veritas.erasure', true), '')::uuid AND status = 'running'
                     AND xmin::text = pg_current_xact_id()::xid::text)
$$;

-- As `refuse_change`, but for these columns in a step of an erasure.
CREATE FUNCTION refuse_all_but_erasing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - TG_ARGV IS NOT DISTINCT FROM to_jsonb(OLD) - TG_ARGV AND is_erasing() THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on % is refused: the table is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

-- As `keep_all_but`, whose columns come first; those after `erasing` in a step of an erasure alone.
CREATE FUNCTION keep_all_but_erasing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bound integer := array_position(TG_ARGV, 'erasing');
    given text[] := TG_ARGV[:bound - 1];
BEGIN
    IF to_jsonb(NEW) - given IS DISTINCT FROM to_jsonb(OLD) - given
       AND NOT (to_jsonb(NEW) - TG_ARGV IS NOT DISTINCT FROM to_jsonb(OLD) - TG_ARGV AND is_erasing()) THEN
        RAISE EXCEPTION 'this asker changes nothing of % but %', TG_TABLE_NAME, array_to_string(given, ', ')
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON submissions FOR EACH ROW
    EXECUTE FUNCTION refuse_all_but_erasing('content', 'idempotency_key', 'body_sha256');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON submission_items FOR EACH ROW
    EXECUTE FUNCTION refuse_all_but_erasing('response');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON submission_drafts FOR EACH ROW
    EXECUTE FUNCTION refuse_all_but_erasing('text');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON submission_scores FOR EACH ROW
    EXECUTE FUNCTION refuse_all_but_erasing('reason');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON decision_acts FOR EACH ROW
    EXECUTE FUNCTION refuse_all_but_erasing('reason_en', 'reason_ar', 'internal_notes', 'override_reason');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON blind_reviews FOR EACH ROW
    EXECUTE FUNCTION refuse_all_but_erasing('reason_en', 'reason_ar', 'internal_notes');
CREATE OR REPLACE FUNCTION keep_legal_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status <> 'placed' OR NEW.status <> 'lifted'
        OR (OLD.id, OLD.organisation_id, OLD.kind, OLD.user_id, OLD.exam_id, OLD.claim_id, OLD.reason, OLD.placed_by, OLD.placed_at)
           IS DISTINCT FROM
           (NEW.id, NEW.organisation_id, NEW.kind, NEW.user_id, NEW.exam_id, NEW.claim_id, NEW.reason, NEW.placed_by, NEW.placed_at))
       AND NOT (to_jsonb(NEW) - '{reason,lift_reason}'::text[] = to_jsonb(OLD) - '{reason,lift_reason}'::text[] AND is_erasing()) THEN
        RAISE EXCEPTION 'a hold is placed and lifted once, and nothing of it changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

-- An appeal's bundle is a copy of what goes.
CREATE FUNCTION refuse_bundle_removal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT is_erasing() AND NOT EXISTS (
        SELECT FROM ledger_events
        WHERE aggregate_id = OLD.claim_id::text AND kind = 'claim.erased' AND xmin::text = pg_current_xact_id()::xid::text) THEN
        RAISE EXCEPTION 'DELETE on % is refused: no event of this transaction says that claim % is erased', TG_TABLE_NAME, OLD.claim_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
REVOKE ALL ON FUNCTION refuse_bundle_removal FROM PUBLIC;
CREATE OR REPLACE TRIGGER erased BEFORE DELETE ON appeal_bundles FOR EACH ROW EXECUTE FUNCTION refuse_bundle_removal();
ALTER TABLE appeal_bundles ENABLE ALWAYS TRIGGER erased;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON claim_statements FOR EACH ROW EXECUTE FUNCTION refuse_all_but_erasing('text');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON resolutions FOR EACH ROW EXECUTE FUNCTION refuse_all_but_erasing('text_en', 'text_ar');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON observation_reviews FOR EACH ROW EXECUTE FUNCTION refuse_all_but_erasing('reason');
ALTER TABLE claim_statements ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE resolutions ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE observation_reviews ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE submissions ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE submission_items ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE submission_drafts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE submission_scores ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE decision_acts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE blind_reviews ENABLE ALWAYS TRIGGER append_only;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON session_actions FOR EACH ROW EXECUTE FUNCTION refuse_all_but_erasing('reason');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON time_grants FOR EACH ROW EXECUTE FUNCTION refuse_all_but_erasing('reason');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON risk_adjustments FOR EACH ROW EXECUTE FUNCTION refuse_all_but_erasing('reason');
CREATE OR REPLACE TRIGGER kept BEFORE UPDATE ON session_commands FOR EACH ROW
    EXECUTE FUNCTION keep_all_but_erasing('told_at', 'confirmed_at', 'erasing', 'text_en', 'text_ar');
CREATE OR REPLACE TRIGGER kept BEFORE UPDATE ON attempt_pauses FOR EACH ROW
    EXECUTE FUNCTION keep_all_but_erasing('expires_before', 'resumed_at', 'resumed_by', 'erasing', 'reason');

-- A file of a finding goes from the submission that has it.
CREATE FUNCTION refuse_removal_but_erasing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT is_erasing() AND NOT EXISTS (
        SELECT FROM ledger_events
        WHERE aggregate_id = OLD.submission_id::text AND kind = 'submission.erased' AND xmin::text = pg_current_xact_id()::xid::text) THEN
        RAISE EXCEPTION 'DELETE on % is refused: no event of this transaction says that % is erased', TG_TABLE_NAME, OLD.submission_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
REVOKE ALL ON FUNCTION refuse_removal_but_erasing FROM PUBLIC;
CREATE OR REPLACE TRIGGER erased BEFORE DELETE ON submission_evidence FOR EACH ROW EXECUTE FUNCTION refuse_removal_but_erasing();
ALTER TABLE submission_evidence ENABLE ALWAYS TRIGGER erased;

-- -- what stays of a text

-- A reason that has to be there says no more than that it was.
CREATE FUNCTION no_reason(reason text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN reason IS NOT NULL THEN 'erased' END $$;

-- Of what was chosen, or is a number, all of it. In the place of a text a word that is nobody else's: it is still an answer, and
-- like no other. An empty one stays.
CREATE FUNCTION erased_response(response jsonb) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN response ?| ARRAY['choice', 'choices', 'number'] THEN
                    (SELECT jsonb_object_agg(key, value) FROM jsonb_each(response) WHERE key IN ('choice', 'choices', 'number'))
                WHEN jsonb_typeof(response) = 'object' AND btrim(coalesce(response ->> 'text', '')) = '' AND response - 'text' = '{}' THEN response
                WHEN response ->> 'text' ~ '^erased-[0-9a-f]{12}$' AND response - 'text' = '{}' THEN response
                WHEN response IS NOT NULL THEN jsonb_build_object('text', 'erased-' || left(replace(gen_random_uuid()::text, '-', ''), 12))
           END
$$;

-- Of an event's metadata, the numbers that numbers are made of and which question it was about; of a pasted text, how long it was.
-- The same in `pipeline/privacy/metadata.py`.
CREATE FUNCTION erased_metadata(payload jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(payload) = 'object' THEN (
        SELECT jsonb_object_agg(key, value) FROM (
            SELECT key, value FROM jsonb_each(payload)
            WHERE (key IN ('awayMs', 'blocked', 'characters', 'deleted', 'durationMs', 'duration_ms', 'inserted', 'offset', 'pauses')
                   AND jsonb_typeof(value) IN ('number', 'boolean'))
               OR (key IN ('question', 'questionId', 'question_id')
                   AND (jsonb_typeof(value) = 'number' OR value #>> '{}' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'))
            UNION ALL
            SELECT 'characters', to_jsonb(length(payload ->> 'text'))
            WHERE jsonb_typeof(payload -> 'text') = 'string' AND jsonb_typeof(payload -> 'characters') IS DISTINCT FROM 'number'
        ) kept) END
$$;

-- -- the steps: each returns what it took of which table, and which records it has changed, by the kind of event that says so

-- A step begins: the erasure is moved, so that `is_erasing` holds. False: it is done, or something keeps it.
CREATE FUNCTION begin_erasing(of_erasure uuid, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1986359925, 8);       -- of sweeps and of holds
    UPDATE erasures SET status = 'running', stepped_at = greatest(stepped_at, at)
    WHERE id = of_erasure AND status <> 'done' AND erasure_hindered_by(person_id) IS NULL;
    IF FOUND THEN
        PERFORM set_config('veritas.erasure', of_erasure::text, true);
    END IF;
    RETURN FOUND;
END
$$;

CREATE FUNCTION erase_account() RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    of_person uuid := (SELECT person_id FROM erasures WHERE id = current_setting('veritas.erasure')::uuid AND is_erasing());
    words text[];
    known inet[];
BEGIN
    IF of_person IS NULL THEN
        RAISE EXCEPTION 'no step of an erasure has begun' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- what others have asked for and got, by what this person is called
    SELECT array_agg(DISTINCT w.word) INTO words FROM (
        SELECT unnest(ARRAY[u.email, u.username, u.full_name, u.source_id, p.enrollment_id]
                      || regexp_split_to_array(u.full_name, '\s+')) AS word
        FROM users u LEFT JOIN student_profiles p ON p.user_id = u.id WHERE u.id = of_person) w
    WHERE length(w.word) > 3;
    SELECT array_agg(DISTINCT a.address) INTO known FROM (
        SELECT last_login_ip AS address FROM users WHERE id = of_person
        UNION ALL SELECT l.address FROM launch_uses l WHERE l.user_id = of_person
        UNION ALL SELECT s.ip_address FROM proctor_sessions s WHERE s.candidate_id = of_person) a
    WHERE a.address IS NOT NULL;
    RETURN QUERY WITH gone AS (
        DELETE FROM ledger_salts s
        WHERE s.person_id = of_person
           OR (s.name = 'query' AND EXISTS (SELECT FROM unnest(words) w WHERE strpos(lower(s.value), lower(w)) > 0))
           OR (s.name = 'network' AND EXISTS (SELECT FROM unnest(known) k WHERE strpos(s.value, host(k)) > 0))
        RETURNING 1) SELECT 'ledger_salts', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        DELETE FROM idempotency_keys i
        WHERE i.user_id = of_person
           OR EXISTS (SELECT FROM unnest(words || of_person::text) w WHERE strpos(encode(i.reply, 'escape'), encode(convert_to(w, 'UTF8'), 'escape')) > 0)
        RETURNING 1) SELECT 'idempotency_keys', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        DELETE FROM observation_drafts o WHERE o.observer_id = of_person OR strpos(o.content::text, of_person::text) > 0 RETURNING 1)
        SELECT 'observation_drafts', count(*), NULL, NULL FROM gone;
    -- how they sign in, and from where
    RETURN QUERY WITH gone AS (DELETE FROM login_networks n WHERE EXISTS (SELECT FROM unnest(known) k WHERE k <<= n.network) RETURNING 1)
        SELECT 'login_networks', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (DELETE FROM launch_uses l WHERE l.user_id = of_person RETURNING 1)
        SELECT 'launch_uses', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (DELETE FROM invitations i WHERE i.user_id = of_person RETURNING 1)
        SELECT 'invitations', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        DELETE FROM refresh_tokens t USING logins l WHERE l.id = t.login_id AND l.user_id = of_person RETURNING 1)
        SELECT 'refresh_tokens', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (DELETE FROM logins l WHERE l.user_id = of_person RETURNING 1)
        SELECT 'logins', count(*), NULL, NULL FROM gone;
    -- who they are
    RETURN QUERY WITH gone AS (
        UPDATE student_profiles p SET enrollment_id = '', cohort = '' WHERE p.user_id = of_person RETURNING 1)
        SELECT 'student_profiles', count(*), 'student_profile.redacted', of_person::text FROM gone HAVING count(*) > 0;
    RETURN QUERY WITH gone AS (
        UPDATE teacher_profiles p SET title = '', department = '' WHERE p.user_id = of_person RETURNING 1)
        SELECT 'teacher_profiles', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        UPDATE users u SET email = u.id || '@erased.invalid', username = 'erased-' || u.id, full_name = '', password_hash = NULL,
               last_login_ip = NULL, metadata = '{}', source_id = NULL, is_active = false
        WHERE u.id = of_person RETURNING 1)
        SELECT 'users', count(*), 'user.redacted', of_person::text FROM gone;
    -- why they were held, and had other terms
    RETURN QUERY
        UPDATE legal_holds h SET reason = 'erased', lift_reason = no_reason(h.lift_reason) WHERE h.user_id = of_person
        RETURNING 'legal_holds', 1::bigint, 'legal_hold.redacted', h.id::text;
    RETURN QUERY
        UPDATE assignment_overrides o SET reason = 'erased' WHERE o.user_id = of_person
        RETURNING 'assignment_overrides', 1::bigint, 'assignment.redacted', o.assignment_id::text;
END
$$;

CREATE FUNCTION erase_attempt(of_attempt uuid) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    sessions bigint[];
    since timestamptz;
    until timestamptz;
BEGIN
    PERFORM FROM exam_attempts a JOIN erasures x ON x.person_id = a.student_id
    WHERE a.id = of_attempt AND x.id = current_setting('veritas.erasure')::uuid AND is_erasing();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no step of an erasure has begun for %', of_attempt USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT array_agg(s.id), min(p.first_event_at), max(p.last_event_at) INTO sessions, since, until
    FROM proctor_sessions s LEFT JOIN session_progress p ON p.session_id = s.id WHERE s.attempt_id = of_attempt;
    -- what they wrote
    RETURN QUERY WITH gone AS (DELETE FROM attempt_answers a WHERE a.attempt_id = of_attempt RETURNING 1)
        SELECT 'attempt_answers', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (DELETE FROM attempt_drafts a WHERE a.attempt_id = of_attempt RETURNING 1)
        SELECT 'attempt_drafts', count(*), NULL, NULL FROM gone;
    RETURN QUERY SELECT e.* FROM submissions b CROSS JOIN LATERAL erase_submission(b.id) e WHERE b.attempt_id = of_attempt;
    RETURN QUERY WITH gone AS (DELETE FROM reporting.written_texts w WHERE w.attempt_id = of_attempt RETURNING 1)
        SELECT 'written_texts', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        DELETE FROM idempotency_keys i WHERE strpos(encode(i.reply, 'escape'), of_attempt::text) > 0 RETURNING 1)
        SELECT 'idempotency_keys', count(*), NULL, NULL FROM gone;
    -- what they did it with, and from where
    RETURN QUERY WITH gone AS (
        UPDATE proctor_sessions s SET device_fingerprint = NULL, user_agent = NULL, browser_name = NULL, browser_version = NULL,
               operating_system = NULL, screen_resolution = NULL, ip_address = NULL
        WHERE s.attempt_id = of_attempt
          AND num_nonnulls(s.device_fingerprint, s.user_agent, s.browser_name, s.browser_version, s.operating_system,
                           s.screen_resolution, s.ip_address) > 0
        RETURNING 1) SELECT 'proctor_sessions', count(*), NULL, NULL FROM gone;
    -- what was seen of it
    RETURN QUERY EXECUTE format($statement$
        WITH gone AS (
            DELETE FROM events e
            WHERE e.session_id = ANY ($1) AND e.occurred_at >= %L AND e.occurred_at <= %L
              AND (e.payload IS DISTINCT FROM erased_metadata(e.payload)
                   OR (e.event_type = 0 AND e.event_name <> ALL ($2)))
            RETURNING e.*
        ), back AS (
            INSERT INTO events (session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity,
                                is_violation, is_late, event_name, payload)
            SELECT session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity, is_violation,
                   is_late, CASE WHEN event_type <> 0 OR event_name = ANY ($2) THEN event_name END, erased_metadata(payload)
            FROM gone
        )
        SELECT 'events', count(*), NULL, NULL FROM gone $statement$, coalesce(since, now()), coalesce(until, now()))
    USING sessions, own_event_names();
    RETURN QUERY WITH gone AS (
        UPDATE dead_letters d SET event = '', reason = '' WHERE d.session_id = ANY (sessions) AND d.event <> '' RETURNING 1)
        SELECT 'dead_letters', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        UPDATE session_quarantines q SET reason = '' WHERE q.session_id = ANY (sessions) AND q.reason <> '' RETURNING 1)
        SELECT 'session_quarantines', count(*), NULL, NULL FROM gone;
    UPDATE session_progress p SET last_other_name = NULL
    WHERE p.session_id = ANY (sessions) AND p.last_other_name <> ALL (own_event_names());
    RETURN QUERY WITH gone AS (
        UPDATE session_notices n SET payload = NULL WHERE n.session_id = ANY (sessions) AND n.payload IS NOT NULL RETURNING 1)
        SELECT 'session_notices', count(*), NULL, NULL FROM gone;
    -- what was said of it, and to them
    RETURN QUERY WITH gone AS (
        UPDATE attempt_pauses p SET reason = no_reason(p.reason) WHERE p.attempt_id = of_attempt AND p.reason <> 'erased' RETURNING 1
    ), granted AS (
        UPDATE time_grants g SET reason = 'erased' WHERE g.attempt_id = of_attempt AND g.reason <> 'erased' RETURNING 1)
        SELECT 'attempt_pauses', count(*), 'attempt.redacted', of_attempt::text
        FROM (SELECT 1 FROM gone UNION ALL SELECT 1 FROM granted) g HAVING count(*) > 0;
    RETURN QUERY WITH gone AS (
        UPDATE session_actions a SET reason = 'erased' WHERE a.session_id = ANY (sessions) AND a.reason <> 'erased' RETURNING a.session_id
    ), said AS (
        UPDATE session_commands c SET text_en = no_reason(c.text_en), text_ar = no_reason(c.text_ar)
        WHERE c.session_id = ANY (sessions) AND (c.text_en <> 'erased' OR c.text_ar <> 'erased') RETURNING c.session_id)
        SELECT 'session_actions', count(*), 'session.redacted', b.session_id::text
        FROM (SELECT * FROM gone UNION ALL SELECT * FROM said) b GROUP BY b.session_id;
    RETURN QUERY WITH gone AS (
        UPDATE proctor_decisions d SET reason_en = no_reason(d.reason_en), reason_ar = no_reason(d.reason_ar),
               internal_notes = no_reason(d.internal_notes), override_reason = no_reason(d.override_reason)
        WHERE d.attempt_id = of_attempt
        RETURNING d.id
    ), acts AS (
        UPDATE decision_acts a SET reason_en = no_reason(a.reason_en), reason_ar = no_reason(a.reason_ar),
               internal_notes = no_reason(a.internal_notes), override_reason = no_reason(a.override_reason)
        FROM gone WHERE a.decision_id = gone.id
        RETURNING a.decision_id)
        SELECT 'proctor_decisions', 1 + (SELECT count(*) FROM acts WHERE acts.decision_id = gone.id), 'decision.redacted', gone.id::text
        FROM gone;
    RETURN QUERY WITH gone AS (
        UPDATE blind_reviews r SET reason_en = no_reason(r.reason_en), reason_ar = no_reason(r.reason_ar), internal_notes = no_reason(r.internal_notes)
        WHERE r.session_id = ANY (sessions)
        RETURNING r.session_id)
        SELECT 'blind_reviews', count(*), 'review.redacted', gone.session_id::text FROM gone GROUP BY gone.session_id;
    RETURN QUERY WITH gone AS (
        DELETE FROM appeal_bundles b USING claims c WHERE c.id = b.claim_id AND c.attempt_id = of_attempt RETURNING 1)
        SELECT 'appeal_bundles', count(*), NULL, NULL FROM gone;
    RETURN QUERY WITH gone AS (
        UPDATE claim_statements t SET text = 'erased' FROM claims c
        WHERE c.id = t.claim_id AND c.attempt_id = of_attempt AND t.text <> 'erased' RETURNING t.claim_id
    ), answers AS (
        UPDATE resolutions r SET text_en = no_reason(r.text_en), text_ar = no_reason(r.text_ar) FROM claims c
        WHERE c.id = r.claim_id AND c.attempt_id = of_attempt AND (r.text_en <> 'erased' OR r.text_ar <> 'erased') RETURNING r.claim_id)
        SELECT 'claim_statements', count(*), 'claim.redacted', b.claim_id::text
        FROM (SELECT * FROM gone UNION ALL SELECT * FROM answers) b GROUP BY b.claim_id;
    RETURN QUERY
        UPDATE risk_adjustments a SET reason = 'erased' WHERE a.attempt_id = of_attempt AND a.reason <> 'erased'
        RETURNING 'risk_adjustments', 1::bigint, 'risk_adjustment.redacted', a.id::text;
    RETURN QUERY WITH gone AS (
        UPDATE alert_acknowledgements k SET note = '' WHERE k.attempt_id = of_attempt AND k.note <> '' RETURNING 1)
        SELECT 'alert_acknowledgements', count(*), NULL, NULL FROM gone;
    -- what follows from it is computed again
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT l.layer, CASE l.layer WHEN 'attempt' THEN a.id WHEN 'exam' THEN a.exam_id ELSE a.student_id END, a.id, a.exam_id
    FROM exam_attempts a CROSS JOIN (VALUES ('attempt'), ('exam'), ('student')) l (layer)
    WHERE a.id = of_attempt AND (l.layer <> 'attempt' OR a.status = 'completed');
END
$$;

-- Names of events that are ours: no client's text is among them.
CREATE FUNCTION own_event_names() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['attempt_paused', 'attempt_resumed', 'extra_time_granted', 'proctor_announcement', 'session_end_requested']
$$;

CREATE FUNCTION erase_submission(of_submission uuid) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
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
    RETURN QUERY WITH gone AS (
        UPDATE submission_scores c SET reason = ''
        WHERE c.submission_id = of_submission AND c.scored_by IS NOT NULL AND c.reason <> '' RETURNING 1)
        SELECT 'submission_scores', count(*), NULL, NULL FROM gone;
END
$$;

-- An observation of this person: what was found of them is theirs, whoever wrote it.
CREATE FUNCTION erase_observation(of_submission uuid) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM submission_subjects s JOIN erasures x ON x.person_id = s.subject_id
    WHERE s.submission_id = of_submission AND x.id = current_setting('veritas.erasure')::uuid AND is_erasing();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no step of an erasure has begun for %', of_submission USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY SELECT e.* FROM erase_submission(of_submission) e;
    RETURN QUERY WITH gone AS (
        UPDATE observation_reviews r SET reason = 'erased' WHERE r.submission_id = of_submission AND r.reason <> 'erased' RETURNING 1)
        SELECT 'observation_reviews', count(*), 'observation.redacted', of_submission::text FROM gone HAVING count(*) > 0;
END
$$;

-- The row of a file that is gone from the stores.
CREATE FUNCTION erase_evidence(of_id bigint) RETURNS TABLE (part text, amount bigint, told_as text, aggregate text)
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
    FROM evidence e WHERE e.id = of_id AND u.organisation_id = e.organisation_id AND u.slot = mod(e.id, 16);
    DELETE FROM ledger_salts s USING ledger_events e
    WHERE e.aggregate_id = of_id::text AND e.aggregate_type = 'evidence' AND s.event_id = e.id AND s.name = 'record:evidence';
    DELETE FROM evidence e WHERE e.id = of_id;
    RETURN QUERY VALUES ('evidence', 1::bigint, 'evidence.erased', of_id::text);
END
$$;

-- The files of whom an erasure is about: from the sessions of their attempts, and of what was found of them.
CREATE FUNCTION evidence_to_erase(of_erasure uuid) RETURNS TABLE (evidence_id bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.id FROM erasures x JOIN proctor_sessions s ON s.candidate_id = x.person_id JOIN evidence e ON e.session_id = s.id
    WHERE x.id = of_erasure
    UNION
    SELECT v.evidence_id FROM erasures x JOIN submission_subjects b ON b.subject_id = x.person_id
    JOIN submission_evidence v ON v.submission_id = b.submission_id
    WHERE x.id = of_erasure
$$;

-- The next observation of whom an erasure is about, after one; null: the first.
CREATE FUNCTION observation_to_erase(of_erasure uuid, behind uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT b.submission_id FROM erasures x JOIN submission_subjects b ON b.subject_id = x.person_id
    WHERE x.id = of_erasure AND (behind IS NULL OR b.submission_id > behind)
    ORDER BY b.submission_id LIMIT 1
$$;

-- A step ends: where the erasure is now, what went, and the events that say so. An event commits to its record as it stands
-- now; what opened the commitments to how it was goes.
CREATE FUNCTION end_erasing(
    to_step text, to_past text, took jsonb, ids uuid[], at timestamptz[], kinds text[], aggregate_types text[], aggregate_ids text[],
    bodies bytea[], records text[], salts bytea[], places integer[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved erasures;
BEGIN
    IF NOT is_erasing() OR EXISTS (SELECT FROM unnest(kinds) k WHERE k NOT LIKE '%.redacted' AND k NOT IN ('evidence.erased', 'erasure.advanced', 'erasure.completed')) THEN
        RAISE EXCEPTION 'no step of an erasure has begun' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE erasures x SET step = to_step, past = to_past, status = CASE to_step WHEN 'done' THEN 'done' ELSE 'running' END,
           done_at = CASE to_step WHEN 'done' THEN x.stepped_at END,
           taken = x.taken || coalesce((SELECT jsonb_object_agg(t.key, t.value::bigint + coalesce((x.taken ->> t.key)::bigint, 0))
                                        FROM jsonb_each_text(took) t), '{}')
    WHERE x.id = current_setting('veritas.erasure')::uuid
    RETURNING * INTO moved;
    WITH given AS MATERIALIZED (
        SELECT g.*, c.hashes, c.committed
        FROM unnest(ids, at, kinds, aggregate_types, aggregate_ids, bodies, records, salts, places)
            AS g (id, occurred_at, kind, aggregate_type, aggregate_id, body, record, salt, place)
        CROSS JOIN LATERAL commit_to_record(g.record, g.aggregate_id, NULL, g.salt) c
    ), salted AS (
        INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
        SELECT id, 'record:' || record, NULL, salt, hashes FROM given WHERE record IS NOT NULL
    )
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
    SELECT id, moved.organisation_id, occurred_at, kind, aggregate_type, aggregate_id, NULL, 'system', moved.person_id,
           CASE WHEN committed IS NULL THEN body ELSE overlay(body PLACING convert_to(committed, 'UTF8') FROM place) END
    FROM given;
    DELETE FROM ledger_salts s USING ledger_events e, unnest(ids, aggregate_ids, records) g (id, aggregate_id, record)
    WHERE e.aggregate_id = g.aggregate_id AND s.event_id = e.id AND s.event_id <> g.id AND s.name = 'record:' || g.record;
END
$$;

REVOKE ALL ON FUNCTION is_erasing, begin_erasing, erase_account, erase_attempt, erase_submission, erase_observation, erase_evidence,
    evidence_to_erase, observation_to_erase, end_erasing FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_erasing, erase_account, erase_attempt, erase_observation, erase_evidence, evidence_to_erase,
    observation_to_erase, end_erasing TO veritas_pipeline;
GRANT EXECUTE ON FUNCTION is_erasing TO veritas_core, veritas_ingest, veritas_pipeline;     -- their triggers ask it

-- -- the archive: a batch of files that are written anew without the texts of erased people

-- squawk-ignore ban-drop-constraint
ALTER TABLE reporting.archive_batches DROP CONSTRAINT archive_batches_kind_check;
ALTER TABLE reporting.archive_batches ADD CONSTRAINT archive_batches_kind_check CHECK (kind IN ('append', 'whole', 'erasure')) NOT VALID;

-- -- what a restored backup has to be told of again: people who were erased after it was made

-- Have somebody erased whose erasure this database does not know, and the ledger told of it. 'asked'; 'stands': it is known here;
-- 'unknown': nobody of that id is.
CREATE FUNCTION ask_erasure_again(
    of_erasure uuid, of_person uuid, by uuid, asked_at timestamptz, at timestamptz, by_event uuid, said bytea, salt bytea, place integer)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    school uuid := (SELECT organisation_id FROM users WHERE id = of_person);
    held record;
BEGIN
    PERFORM pg_advisory_xact_lock(1986359925, 8);       -- of sweeps and of holds
    IF school IS NULL THEN
        RETURN 'unknown';
    END IF;
    INSERT INTO erasures (id, organisation_id, person_id, requested_by, requested_at, stepped_at)
    SELECT of_erasure, school, of_person, (SELECT id FROM users WHERE id = by), asked_at, greatest(asked_at, at)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'stands';
    END IF;
    SELECT * INTO held FROM commit_to_record('erasure', of_erasure::text, NULL, salt);
    INSERT INTO ledger_salts (event_id, name, person_id, salt, value) VALUES (by_event, 'record:erasure', NULL, salt, held.hashes);
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
    VALUES (by_event, school, at, 'erasure.requested', 'erasure', of_erasure::text, NULL, 'system', of_person,
            overlay(said PLACING convert_to(held.committed, 'UTF8') FROM place));
    RETURN 'asked';
END
$$;
REVOKE ALL ON FUNCTION ask_erasure_again FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ask_erasure_again TO veritas_pipeline;
