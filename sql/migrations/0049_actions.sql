-- What staff do in a proctor session while its attempt is under way (spec.md P-4), what of it the client has to act on until it
-- confirms, and an attempt's clock, which stands still in a pause and gets extra time.

-- -- what was done, for staff

CREATE TABLE session_actions (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (MAXVALUE 9007199254740991),
    session_id bigint NOT NULL REFERENCES proctor_sessions ON DELETE CASCADE,
    kind       text NOT NULL
               CHECK (kind IN ('warn', 'flag', 'unflag', 'pause', 'resume', 'terminate', 'extra_time', 'announce')),
    reason     text CHECK (length(reason) BETWEEN 1 AND 1000),
    acted_by   uuid REFERENCES users,                   -- null: the system, at the end of the longest pause
    acted_at   timestamptz NOT NULL
);
CREATE INDEX session_actions_session ON session_actions (session_id, id);
CREATE TRIGGER append_only BEFORE UPDATE ON session_actions FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- -- what the client has to act on: nothing in it is for staff alone

CREATE TABLE session_commands (
    id           bigint PRIMARY KEY REFERENCES session_actions ON DELETE CASCADE,
    session_id   bigint NOT NULL REFERENCES proctor_sessions ON DELETE CASCADE,
    kind         text NOT NULL CHECK (kind IN ('warn', 'pause', 'resume', 'terminate', 'extra_time', 'announce')),
    text_en      text CHECK (length(text_en) BETWEEN 1 AND 1000),
    text_ar      text CHECK (length(text_ar) BETWEEN 1 AND 1000),
    expires_at   timestamptz,                           -- of the attempt, as the command leaves it
    paused_until timestamptz,                           -- at the latest, of a pause
    created_at   timestamptz NOT NULL,
    told_at      timestamptz,                           -- since when ingest knows of it as it stands; null: not yet
    confirmed_at timestamptz                            -- null while the client has not
);
CREATE INDEX session_commands_session ON session_commands (session_id, id);
CREATE INDEX session_commands_untold ON session_commands (id) WHERE told_at IS NULL;
CREATE TRIGGER kept BEFORE UPDATE ON session_commands
    FOR EACH ROW EXECUTE FUNCTION keep_all_but('told_at', 'confirmed_at');

-- A confirmation is told to ingest as a command is: until then it goes out again. The first one counts.
CREATE FUNCTION confirm_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.confirmed_at := coalesce(old.confirmed_at, new.confirmed_at);
    IF old.confirmed_at IS NULL AND new.confirmed_at IS NOT NULL THEN
        new.told_at := NULL;
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER confirmed BEFORE UPDATE OF confirmed_at ON session_commands FOR EACH ROW EXECUTE FUNCTION confirm_once();

-- Wakes the sweep that tells ingest; one that was not heard is caught up with a second later.
CREATE FUNCTION notify_session_commands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('session_commands', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER commanded AFTER INSERT OR UPDATE OF confirmed_at ON session_commands
    FOR EACH STATEMENT EXECUTE FUNCTION notify_session_commands();

-- What waits for a session's client, for ingest: the newest twenty as JSON, oldest first; null where nothing does.
CREATE FUNCTION open_commands(of_session bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_object('id', o.id, 'kind', o.kind, 'text_en', o.text_en, 'text_ar', o.text_ar,
                                      'created_at', o.created_at, 'expires_at', o.expires_at, 'paused_until', o.paused_until)
                    ORDER BY o.id)::text
    FROM (SELECT * FROM session_commands c
          WHERE c.session_id = of_session AND c.confirmed_at IS NULL
          ORDER BY c.id DESC LIMIT 20) o
$$;
REVOKE ALL ON FUNCTION open_commands FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_commands TO veritas_ingest;

-- -- what the stream says of it: events with a type and a payload of their own

ALTER TABLE session_notices
    ADD COLUMN event_type smallint NOT NULL DEFAULT 0,  -- 0: Other, by `event_name`
    ADD COLUMN payload jsonb;
COMMENT ON COLUMN session_notices.minute IS
    'Of what is said once a minute: since 1970. Of an act of staff: its id, so that each is said once.';

-- -- an attempt's clock

-- While an attempt is paused, `expires_at` counts the longest that the pause may last, so that whoever looks at it alone is
-- right: the sweep comes no sooner, and the clock runs again by itself when the longest is over.
ALTER TABLE exam_attempts
    ADD COLUMN paused_at timestamptz,                   -- null while it is not paused
    ADD COLUMN paused_until timestamptz,                -- at the latest
    ADD COLUMN paused_seconds integer NOT NULL DEFAULT 0;   -- in all pauses that are over
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX exam_attempts_paused ON exam_attempts (paused_until) WHERE paused_at IS NOT NULL AND status = 'in_progress';
GRANT UPDATE (expires_at, paused_at, paused_until, paused_seconds) ON exam_attempts TO veritas_core;
CREATE FUNCTION refuse_to_move_clock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an attempt''s clock is moved as the system alone' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER kept_clock BEFORE UPDATE OF expires_at, paused_at, paused_until, paused_seconds ON exam_attempts
    FOR EACH ROW WHEN (asker_view() <> 'system') EXECUTE FUNCTION refuse_to_move_clock();

CREATE TABLE attempt_pauses (
    attempt_id     uuid NOT NULL REFERENCES exam_attempts ON DELETE CASCADE,
    paused_at      timestamptz NOT NULL,
    expires_before timestamptz NOT NULL,                -- the attempt's end without this pause
    paused_by      uuid NOT NULL REFERENCES users,
    reason         text CHECK (length(reason) BETWEEN 1 AND 1000),
    resumed_at     timestamptz,
    resumed_by     uuid REFERENCES users,               -- null: it lasted as long as it may, or the attempt ended in it
    PRIMARY KEY (attempt_id, paused_at),
    CHECK (resumed_at >= paused_at)
);
CREATE UNIQUE INDEX attempt_pauses_open ON attempt_pauses (attempt_id) WHERE resumed_at IS NULL;
CREATE TRIGGER kept BEFORE UPDATE ON attempt_pauses
    FOR EACH ROW EXECUTE FUNCTION keep_all_but('expires_before', 'resumed_at', 'resumed_by');

CREATE TABLE time_grants (
    id            uuid PRIMARY KEY,
    attempt_id    uuid NOT NULL REFERENCES exam_attempts ON DELETE CASCADE,
    seconds       integer NOT NULL CHECK (seconds > 0),
    assignment_id uuid REFERENCES assignments,          -- whose override gave it; null: an act of staff
    reason        text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    granted_by    uuid NOT NULL REFERENCES users,
    granted_at    timestamptz NOT NULL
);
CREATE INDEX time_grants_attempt ON time_grants (attempt_id);
CREATE TRIGGER append_only BEFORE UPDATE ON time_grants FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- -- who may see what

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['session_actions', 'session_commands', 'attempt_pauses', 'time_grants']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
    END LOOP;
END
$$;
CREATE POLICY granted ON session_commands TO veritas_ingest USING (true);
CREATE POLICY asker ON session_actions FOR SELECT TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation')
                THEN EXISTS (SELECT FROM seen_sessions s WHERE s.id = session_id) END);
CREATE POLICY asker ON session_commands FOR SELECT TO veritas_core
    USING (EXISTS (SELECT FROM seen_sessions s WHERE s.id = session_id));
CREATE POLICY own ON session_commands FOR UPDATE TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) = 'candidate'
                THEN EXISTS (SELECT FROM seen_sessions s WHERE s.id = session_id) END);
CREATE POLICY bound ON session_commands AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true
                ELSE EXISTS (SELECT FROM seen_sessions s WHERE s.id = session_id) END);
CREATE POLICY asker ON attempt_pauses FOR SELECT TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation')
                THEN EXISTS (SELECT FROM exam_attempts a WHERE a.id = attempt_id) END);
CREATE POLICY asker ON time_grants FOR SELECT TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation')
                THEN EXISTS (SELECT FROM exam_attempts a WHERE a.id = attempt_id) END);

GRANT SELECT, INSERT ON session_actions, session_commands, attempt_pauses, time_grants TO veritas_core;
GRANT UPDATE (confirmed_at) ON session_commands TO veritas_core, veritas_ingest;
GRANT UPDATE (expires_before, resumed_at, resumed_by) ON attempt_pauses TO veritas_core;
GRANT SELECT, UPDATE (told_at) ON session_commands TO veritas_ingest;

-- -- who ended an attempt: wider than before

-- squawk-ignore ban-drop-constraint
ALTER TABLE exam_attempts DROP CONSTRAINT exam_attempts_submitted_by_check;
ALTER TABLE exam_attempts ADD CONSTRAINT exam_attempts_submitted_by_check
    CHECK (submitted_by IN ('candidate', 'expiry', 'proctor')) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE submissions DROP CONSTRAINT submissions_submitted_by_check;
ALTER TABLE submissions ADD CONSTRAINT submissions_submitted_by_check
    CHECK (submitted_by IN ('candidate', 'expiry', 'observer', 'proctor')) NOT VALID;

-- -- what the ledger commits to

-- As before, but for an attempt that was paused or got extra time: there was none, so every event that was made with the
-- definition of before still says what the rows say.
CREATE OR REPLACE FUNCTION record_of_attempt(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'attempt', json_build_array(a.exam_id, a.student_id, a.started_at, a.expires_at, a.evaluation_version_id,
                                       a.attempt_number, a.policy, a.max_score, a.status = 'abandoned')::text
    FROM exam_attempts a WHERE a.id = of_id::uuid
    UNION ALL
    SELECT 'clock', json_build_array(a.paused_at, a.paused_until, a.paused_seconds)::text
    FROM exam_attempts a
    WHERE a.id = of_id::uuid AND (a.paused_seconds <> 0 OR num_nonnulls(a.paused_at, a.paused_until) > 0)
    UNION ALL
    SELECT 'pause ' || p.paused_at, json_build_array(p.expires_before, p.paused_by, p.reason, p.resumed_at, p.resumed_by)::text
    FROM attempt_pauses p WHERE p.attempt_id = of_id::uuid
    UNION ALL
    SELECT 'extra time ' || g.id, json_build_array(g.seconds, g.assignment_id, g.reason, g.granted_by)::text
    FROM time_grants g WHERE g.attempt_id = of_id::uuid;
END
$$;

-- What staff did in a session, and what its client was told: not whether it has heard.
CREATE FUNCTION record_of_session_actions(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'action ' || a.id, json_build_array(a.kind, a.reason, a.acted_by, a.acted_at)::text
    FROM session_actions a WHERE a.session_id = of_id::bigint
    UNION ALL
    SELECT 'command ' || c.id, json_build_array(c.kind, c.text_en, c.text_ar, c.expires_at, c.paused_until, c.created_at)::text
    FROM session_commands c WHERE c.session_id = of_id::bigint;
END
$$;
REVOKE ALL ON FUNCTION record_of_session_actions FROM PUBLIC;

-- -- who watches the exam sees it

CREATE TRIGGER live_inserted AFTER INSERT ON session_actions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_changes();
CREATE TRIGGER live_updated AFTER UPDATE ON session_commands REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_live_changes();
