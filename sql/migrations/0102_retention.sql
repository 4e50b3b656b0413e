-- Retention (spec.md G-1, decision 12): how long an organisation keeps what, what is held and why, and how events go from here once
-- the archive has them. The ledger is never purged.

-- -- policies and holds

-- A row once an admin has set it; the defaults are those of everybody else.
CREATE TABLE retention_policies (
    organisation_id  uuid PRIMARY KEY REFERENCES organisations,
    events_days      integer NOT NULL DEFAULT 90 CHECK (events_days BETWEEN 30 AND 90),         -- here; the archive keeps them
    set_by           uuid NOT NULL REFERENCES users,
    set_at           timestamptz NOT NULL
);
COMMENT ON TABLE retention_policies IS 'How many days an organisation keeps what (spec.md, decision 12).';

CREATE VIEW retention_rules AS
SELECT o.id AS organisation_id, coalesce(p.events_days, 90) AS events_days, p.set_by, p.set_at
FROM organisations o
LEFT JOIN retention_policies p ON p.organisation_id = o.id;
COMMENT ON VIEW retention_rules IS 'The policy that holds in each organisation, set or not.';

-- Nothing of whom or what is held goes, whatever a policy says. Placed, then lifted; nothing else ever changes.
CREATE TABLE legal_holds (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    kind            text NOT NULL CHECK (kind IN ('person', 'exam', 'claim')),
    user_id         uuid REFERENCES users,
    exam_id         uuid REFERENCES exams,
    claim_id        uuid REFERENCES claims,
    reason          text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    status          text NOT NULL DEFAULT 'placed' CHECK (status IN ('placed', 'lifted')),
    placed_by       uuid NOT NULL REFERENCES users,
    placed_at       timestamptz NOT NULL,
    lifted_by       uuid REFERENCES users,
    lifted_at       timestamptz,
    lift_reason     text CHECK (length(lift_reason) BETWEEN 1 AND 2000),
    CHECK ((kind = 'person') = (user_id IS NOT NULL) AND (kind = 'exam') = (exam_id IS NOT NULL)
           AND (kind = 'claim') = (claim_id IS NOT NULL)),
    CHECK ((status = 'lifted') = (lifted_by IS NOT NULL) AND (status = 'lifted') = (lifted_at IS NOT NULL)
           AND (status = 'lifted') = (lift_reason IS NOT NULL))
);
CREATE INDEX legal_holds_organisation ON legal_holds (organisation_id, id);
CREATE INDEX legal_holds_person ON legal_holds (user_id) WHERE status = 'placed' AND user_id IS NOT NULL;
CREATE INDEX legal_holds_exam ON legal_holds (exam_id) WHERE status = 'placed' AND exam_id IS NOT NULL;
CREATE INDEX legal_holds_claim ON legal_holds (claim_id) WHERE status = 'placed' AND claim_id IS NOT NULL;
COMMENT ON TABLE legal_holds IS 'People, exams and claims of which nothing goes until the hold is lifted.';

CREATE FUNCTION keep_legal_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'placed' OR NEW.status <> 'lifted'
       OR (OLD.id, OLD.organisation_id, OLD.kind, OLD.user_id, OLD.exam_id, OLD.claim_id, OLD.reason, OLD.placed_by, OLD.placed_at)
          IS DISTINCT FROM
          (NEW.id, NEW.organisation_id, NEW.kind, NEW.user_id, NEW.exam_id, NEW.claim_id, NEW.reason, NEW.placed_by, NEW.placed_at) THEN
        RAISE EXCEPTION 'a hold is placed and lifted once, and nothing of it changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER lifted_once BEFORE UPDATE ON legal_holds FOR EACH ROW EXECUTE FUNCTION keep_legal_hold();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON legal_holds FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A step of a sweep takes this lock alone, whoever places a hold, opens a claim or sets a policy shares it: every step that comes after sees it.
CREATE FUNCTION await_retention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1986359925, 8);
    RETURN NULL;
END
$$;
CREATE TRIGGER placed BEFORE INSERT ON legal_holds FOR EACH STATEMENT EXECUTE FUNCTION await_retention();
CREATE TRIGGER awaits_retention BEFORE INSERT ON claims FOR EACH STATEMENT EXECUTE FUNCTION await_retention();
CREATE TRIGGER set BEFORE INSERT OR UPDATE ON retention_policies FOR EACH STATEMENT EXECUTE FUNCTION await_retention();

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['retention_policies', 'legal_holds']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_pipeline USING (true)', guarded);
        EXECUTE format('CREATE POLICY asker ON %s TO veritas_core USING ((SELECT asker_view()) = ''organisation'' '
                       'AND organisation_id = (SELECT asker_organisation()))', guarded);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE (events_days, set_by, set_at) ON retention_policies TO veritas_core;
GRANT SELECT, INSERT, UPDATE (status, lifted_by, lifted_at, lift_reason) ON legal_holds TO veritas_core;
GRANT SELECT ON retention_policies, legal_holds, retention_rules TO veritas_pipeline;

-- That of the asker's own organisation, set or not.
CREATE FUNCTION own_retention_rule() RETURNS TABLE (events_days integer, set_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.events_days, r.set_at FROM retention_rules r
    WHERE r.organisation_id = asker_organisation() AND asker_view() = 'organisation'
$$;
REVOKE ALL ON FUNCTION own_retention_rule FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_retention_rule TO veritas_core;

CREATE FUNCTION record_of_retention_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'policy', json_build_array(p.events_days, p.set_by, p.set_at)::text
    FROM retention_policies p WHERE p.organisation_id = of_id::uuid;
END
$$;
CREATE FUNCTION record_of_legal_hold(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'hold', json_build_array(h.organisation_id, h.kind, h.user_id, h.exam_id, h.claim_id, h.reason, h.status, h.placed_by,
                                    h.placed_at, h.lifted_by, h.lifted_at, h.lift_reason)::text
    FROM legal_holds h WHERE h.id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_retention_policy, record_of_legal_hold FROM PUBLIC;

-- -- whose events are where

-- Ended sessions whose events are here: what a sweep looks at, so that it costs what may go and not what ever was.
CREATE TABLE hot_sessions (
    session_id      bigint PRIMARY KEY REFERENCES proctor_sessions,
    attempt_id      uuid NOT NULL,              -- down to ended_at: the session's
    organisation_id uuid NOT NULL,
    ended_at        timestamptz NOT NULL
);
CREATE INDEX hot_sessions_end ON hot_sessions (ended_at, session_id);
COMMENT ON TABLE hot_sessions IS 'Sessions that have ended, and whose events are in the events table.';

CREATE FUNCTION keep_hot() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO hot_sessions (session_id, attempt_id, organisation_id, ended_at)
    VALUES (NEW.id, NEW.attempt_id, NEW.organisation_id, NEW.ended_at)
    ON CONFLICT (session_id) DO UPDATE SET ended_at = excluded.ended_at;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION keep_hot FROM PUBLIC;
CREATE TRIGGER hot AFTER UPDATE OF status ON proctor_sessions FOR EACH ROW
    WHEN (OLD.status = 1 AND NEW.status <> 1) EXECUTE FUNCTION keep_hot();
CREATE TRIGGER hot_at_once AFTER INSERT ON proctor_sessions FOR EACH ROW WHEN (NEW.status <> 1) EXECUTE FUNCTION keep_hot();
INSERT INTO hot_sessions (session_id, attempt_id, organisation_id, ended_at)
SELECT id, attempt_id, organisation_id, ended_at FROM proctor_sessions WHERE status <> 1;

-- Sessions whose events are only in the archive, up to a sequence; 0: they were brought back, until then at least.
CREATE TABLE gone_events (
    session_id   bigint PRIMARY KEY REFERENCES proctor_sessions,
    through_seq  integer NOT NULL CHECK (through_seq >= 0),
    total_events integer NOT NULL,
    first_at     timestamptz NOT NULL,          -- no event of them is older
    last_at      timestamptz NOT NULL,          -- or younger
    event_id     uuid NOT NULL,                 -- of the ledger, which says that they went, or came back
    back_until   timestamptz,
    CHECK ((through_seq = 0) = (back_until IS NOT NULL))
);
COMMENT ON TABLE gone_events IS 'Sessions whose events the archive alone has: how many, and from when.';
GRANT SELECT ON gone_events, hot_sessions TO veritas_pipeline;
CREATE VIEW seen_gone_events AS
SELECT g.session_id, g.through_seq, g.total_events, g.first_at, g.last_at
FROM gone_events g
JOIN seen_sessions s ON s.id = g.session_id
WHERE g.through_seq > 0 AND (SELECT asker_view()) IN ('system', 'organisation', 'staff');
GRANT SELECT ON seen_gone_events TO veritas_core;

-- What analysis says of a session's events, wherever they are, for whoever may know.
CREATE FUNCTION event_analyses(of_session bigint, seqs integer[]) RETURNS TABLE (
    seq integer, is_anomaly boolean, anomaly_score double precision, description text, analysis_notes text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.seq, a.is_anomaly, a.anomaly_score, a.description, a.analysis_notes
    FROM seen_sessions s
    JOIN event_analysis a ON a.session_id = s.id
    WHERE s.id = of_session AND a.seq = ANY (seqs) AND asker_view() IN ('system', 'organisation', 'staff')
      AND NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = s.id)
$$;
REVOKE ALL ON FUNCTION event_analyses FROM PUBLIC;
GRANT EXECUTE ON FUNCTION event_analyses TO veritas_core;

-- -- what is held, and why

-- A row for each reason. A review is open from when somebody began it until it is final, and where a high score waits for one.
CREATE VIEW kept_attempts AS
SELECT a.id AS attempt_id, 'attempt_runs' AS why FROM exam_attempts a WHERE a.status = 'in_progress'
UNION ALL
SELECT a.id, 'legal_hold' FROM exam_attempts a JOIN legal_holds h ON h.user_id = a.student_id AND h.status = 'placed'
UNION ALL
SELECT a.id, 'legal_hold' FROM exam_attempts a JOIN legal_holds h ON h.exam_id = a.exam_id AND h.status = 'placed'
UNION ALL
SELECT c.attempt_id, 'legal_hold' FROM claims c JOIN legal_holds h ON h.claim_id = c.id AND h.status = 'placed'
UNION ALL
SELECT c.attempt_id, 'claim_open' FROM held_attempts c
UNION ALL
SELECT s.attempt_id, 'review_open' FROM proctor_sessions s JOIN proctor_decisions d ON d.session_id = s.id AND NOT d.is_finalized
UNION ALL
SELECT s.attempt_id, 'review_open' FROM proctor_sessions s JOIN review_claims c ON c.session_id = s.id AND c.expires_at > now()
UNION ALL
SELECT s.attempt_id, 'review_open' FROM proctor_sessions s JOIN pending_reviews p ON p.session_id = s.id
WHERE p.rank > 50 OR EXISTS (SELECT FROM blind_reviews b WHERE b.session_id = s.id);
COMMENT ON VIEW kept_attempts IS 'Attempts of which nothing may go, and why: nothing else decides it.';

-- When the events of each ended session may go, and why they stay all the same; null: then they may. The dry run and the sweep
-- both ask it, so that they cannot disagree.
CREATE VIEW event_retention AS
SELECT h.session_id, h.organisation_id, h.ended_at, r.events_days AS days,
       greatest(greatest(h.ended_at, p.last_event_at) + r.events_days * interval '1 day', g.back_until) AS due_at,
       coalesce(p.through_seq, 0) AS through_seq, coalesce(p.total_events, 0) AS total_events,
       coalesce(p.first_event_at, h.ended_at) AS first_at, coalesce(p.last_event_at, h.ended_at) AS last_at,
       CASE WHEN s.final_seq IS NULL OR s.final_seq > coalesce(p.through_seq, 0) THEN 'not_stored'
            WHEN coalesce(a.through_seq, 0) < coalesce(p.through_seq, 0)
                 OR EXISTS (SELECT FROM reporting.archive_ranges x
                            JOIN reporting.archive_batches b ON b.id = x.batch_id AND b.confirmed_at IS NULL
                            WHERE x.session_id = h.session_id)
                 OR h.session_id IN (SELECT u.session_id FROM unarchived_sessions u) THEN 'not_archived'
            WHEN coalesce(f.through_seq, 0) < coalesce(p.through_seq, 0)
                 OR h.attempt_id IN (SELECT c.attempt_id FROM reporting.fold_claims c)
                 OR h.session_id IN (SELECT d.session_id FROM dirty_sessions d)
                 OR h.attempt_id IN (SELECT m.key FROM reporting.projection_marks m WHERE m.layer = 'attempt')
                 OR h.attempt_id IN (SELECT m.attempt_id FROM reporting.projection_marks m WHERE m.attempt_id IS NOT NULL)
                 THEN 'not_projected'
            ELSE (SELECT min(x.why) FROM kept_attempts x WHERE x.attempt_id = h.attempt_id) END AS why
FROM hot_sessions h
JOIN retention_rules r ON r.organisation_id = h.organisation_id
JOIN proctor_sessions s ON s.id = h.session_id
LEFT JOIN session_progress p ON p.session_id = h.session_id
LEFT JOIN gone_events g ON g.session_id = h.session_id
LEFT JOIN reporting.archived_sessions a ON a.session_id = h.session_id
LEFT JOIN reporting.session_folds f ON f.session_id = h.session_id;
GRANT SELECT ON event_retention TO veritas_pipeline;

-- What a sweep at a moment would take, and what it would leave and why, by organisation. Null: all of them.
CREATE FUNCTION retention_forecast(of_organisation uuid, at timestamptz) RETURNS TABLE (
    organisation_id uuid, what text, days integer, why text, pieces bigint, total bigint, oldest timestamptz, newest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.organisation_id, 'events', d.days, d.why, count(*), sum(d.total_events)::bigint, min(d.first_at), max(d.last_at)
    FROM event_retention d
    WHERE d.ended_at < at AND d.due_at <= at AND (of_organisation IS NULL OR d.organisation_id = of_organisation)
    GROUP BY d.organisation_id, d.days, d.why
    ORDER BY 1, 2, 4 NULLS FIRST
$$;
REVOKE ALL ON FUNCTION retention_forecast FROM PUBLIC;
GRANT EXECUTE ON FUNCTION retention_forecast TO veritas_pipeline;
CREATE FUNCTION own_retention_forecast() RETURNS TABLE (
    what text, days integer, why text, pieces bigint, total bigint, oldest timestamptz, newest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT f.what, f.days, f.why, f.pieces, f.total, f.oldest, f.newest
    FROM retention_forecast(asker_organisation(), now()) f
    WHERE asker_view() = 'organisation' AND asker_organisation() IS NOT NULL
$$;
REVOKE ALL ON FUNCTION own_retention_forecast FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_retention_forecast TO veritas_core;

-- -- taking events: one role has the right, and one function uses it

DO $$
BEGIN
    CREATE ROLE veritas_retention NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
GRANT SELECT, DELETE ON events TO veritas_retention;

-- The bounds are constants of the statement, so that it touches the chunks between them alone.
CREATE FUNCTION delete_events(sessions bigint[], through integer[], first_at timestamptz, last_at timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    deleted bigint;
BEGIN
    EXECUTE format('DELETE FROM events e USING unnest($1, $2) AS t (session_id, through_seq) '
                   'WHERE e.session_id = t.session_id AND e.seq <= t.through_seq AND e.occurred_at >= %L AND e.occurred_at <= %L',
                   first_at, last_at)
    USING sessions, through;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
REVOKE ALL ON FUNCTION delete_events FROM PUBLIC;
ALTER FUNCTION delete_events OWNER TO veritas_retention;


-- Take the events of these sessions of one organisation, with the ledger's event that says so, or nothing. Returns how many went;
-- null where something has come between: one of them may not go any more. `expected` is how many the archive has of them.
CREATE FUNCTION take_events(of_organisation uuid, sessions bigint[], expected bigint, at timestamptz, by_event uuid, said bytea)
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    taken record;
    deleted bigint;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nothing goes before its time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    SELECT count(*) AS sessions, array_agg(d.session_id) AS ids, array_agg(d.through_seq) AS through, min(d.first_at) AS first_at,
           max(d.last_at) AS last_at INTO taken
    FROM event_retention d
    WHERE d.session_id = ANY (sessions) AND d.organisation_id = of_organisation AND d.due_at <= at AND d.why IS NULL;
    IF taken.sessions <> cardinality(sessions) THEN
        RETURN NULL;
    END IF;
    deleted := delete_events(taken.ids, taken.through, taken.first_at, taken.last_at);
    IF deleted <> expected THEN
        RAISE EXCEPTION 'the archive has % of these events, the table %', expected, deleted USING ERRCODE = 'data_exception';
    END IF;
    INSERT INTO gone_events AS g (session_id, through_seq, total_events, first_at, last_at, event_id)
    SELECT p.session_id, p.through_seq, p.total_events, p.first_event_at, p.last_event_at, by_event
    FROM session_progress p WHERE p.session_id = ANY (sessions) AND p.through_seq > 0
    ON CONFLICT (session_id) DO UPDATE SET
        through_seq = excluded.through_seq, total_events = excluded.total_events, first_at = excluded.first_at,
        last_at = excluded.last_at, event_id = excluded.event_id, back_until = NULL;
    DELETE FROM hot_sessions h WHERE h.session_id = ANY (sessions);
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                               subject_id, body)
    VALUES (by_event, of_organisation, at, 'events.archived', 'organisation', of_organisation::text, NULL, 'system', NULL, said);
    RETURN deleted;
END
$$;
REVOKE ALL ON FUNCTION take_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_events TO veritas_pipeline;

-- Bring a session's events back from the archive, for a while at least. False: they are here.
CREATE FUNCTION bring_back_events(
    of_session bigint, until timestamptz, seqs integer[], occurred timestamptz[], effective timestamptz[], client_times timestamptz[],
    clients bigint[], client_seqs bigint[], types smallint[], severities smallint[], violations boolean[], lates boolean[],
    names text[], payloads text[], at timestamptz, by_event uuid, said bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone gone_events;
    session proctor_sessions;
BEGIN
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    SELECT * INTO gone FROM gone_events g WHERE g.session_id = of_session AND g.through_seq > 0 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cardinality(seqs) <> gone.total_events THEN
        RAISE EXCEPTION 'session % had % events, the archive has %', of_session, gone.total_events, cardinality(seqs)
            USING ERRCODE = 'data_exception';
    END IF;
    INSERT INTO events (session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity,
                        is_violation, is_late, event_name, payload)
    SELECT of_session, t.seq, t.occurred_at, t.effective_at, t.client_at, t.client, t.client_seq, t.event_type, t.severity,
           t.is_violation, t.is_late, t.event_name, t.payload::jsonb
    FROM unnest(seqs, occurred, effective, client_times, clients, client_seqs, types, severities, violations, lates, names, payloads)
         AS t (seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity, is_violation, is_late, event_name,
               payload);
    UPDATE gone_events g SET through_seq = 0, back_until = until, event_id = by_event WHERE g.session_id = of_session;
    SELECT * INTO session FROM proctor_sessions s WHERE s.id = of_session;
    INSERT INTO hot_sessions (session_id, attempt_id, organisation_id, ended_at)
    VALUES (session.id, session.attempt_id, session.organisation_id, session.ended_at)
    ON CONFLICT DO NOTHING;
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                               subject_id, body)
    VALUES (by_event, session.organisation_id, at, 'events.restored', 'session', of_session::text, NULL, 'system', NULL, said);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION bring_back_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bring_back_events TO veritas_pipeline;

-- Drop the oldest day of events that is over and empty; null: there is none. Nothing comes to a day that is long over but what is
-- brought back, which waits for the same lock.
CREATE FUNCTION drop_empty_day(before timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    day record;
    holds_some boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    FOR day IN
        SELECT format('%I.%I', c.chunk_schema, c.chunk_name) AS chunk, c.range_start, c.range_end
        FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'events'
          AND c.range_end < least(before, now() - interval '30 days')
        ORDER BY c.range_start
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', day.chunk) INTO holds_some;
        IF NOT holds_some THEN
            PERFORM drop_chunks('events', older_than => day.range_end, newer_than => day.range_start);
            RETURN day.range_start;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION drop_empty_day FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_empty_day TO veritas_pipeline;
