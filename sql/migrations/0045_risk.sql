-- Risk: rules in versions, sets of them that sessions keep, scores as they stand and as they came about (spec.md R-1 to R-6).
--
-- A version never changes, nor does a set. Whoever changes an organisation's rules appends versions and makes a new set; a
-- session keeps the one that was the newest when it began, so that nobody is judged by rules that came later.

CREATE TABLE risk_rules (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    created_by      uuid REFERENCES users,              -- null: one of the defaults
    created_at      timestamptz NOT NULL,
    deleted_at      timestamptz                         -- in no set from then on; the sets before keep it
);
CREATE INDEX risk_rules_organisation ON risk_rules (organisation_id, id);

CREATE TABLE risk_rule_versions (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    rule_id         bigint NOT NULL REFERENCES risk_rules,
    organisation_id uuid NOT NULL,                      -- the rule's
    version         integer NOT NULL CHECK (version > 0),
    name_en         text NOT NULL CHECK (length(name_en) BETWEEN 1 AND 200),
    name_ar         text NOT NULL CHECK (length(name_ar) <= 200),
    description_en  text NOT NULL CHECK (length(description_en) <= 1000),
    description_ar  text NOT NULL CHECK (length(description_ar) <= 1000),
    is_active       boolean NOT NULL,
    event_type      smallint NOT NULL,
    threshold_count integer NOT NULL CHECK (threshold_count > 0),
    window_seconds  integer NOT NULL CHECK (window_seconds >= 0),               -- 0: the whole session
    risk_points     numeric(5, 2) NOT NULL CHECK (risk_points > 0 AND risk_points <= 100),     -- a trigger
    min_severity    smallint CHECK (min_severity BETWEEN 0 AND 5),
    max_triggers    integer CHECK (max_triggers > 0),
    priority        integer NOT NULL,
    gap_class       text CHECK (gap_class IN ('network', 'unexplained')),       -- only silences of that class count
    created_by      uuid REFERENCES users,
    created_at      timestamptz NOT NULL,
    UNIQUE (rule_id, version)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON risk_rule_versions FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE risk_rule_versions IS 'What a rule said from when on; appended only.';

CREATE TABLE rule_sets (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    version_ids     bigint[] NOT NULL,                  -- of risk_rule_versions: those that are active, in their order
    created_at      timestamptz NOT NULL
);
CREATE INDEX rule_sets_organisation ON rule_sets (organisation_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON rule_sets FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE rule_sets IS 'An organisation''s active rules from when on; appended only.';

CREATE FUNCTION publish_rule_set(organisation uuid, at timestamptz) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO rule_sets (organisation_id, version_ids, created_at)
    SELECT organisation, coalesce(array_agg(v.id ORDER BY v.priority, v.rule_id) FILTER (WHERE v.is_active), '{}'), at
    FROM risk_rules r
    CROSS JOIN LATERAL (SELECT * FROM risk_rule_versions v WHERE v.rule_id = r.id ORDER BY v.version DESC LIMIT 1) v
    WHERE r.organisation_id = organisation AND r.deleted_at IS NULL
    RETURNING id
$$;
COMMENT ON FUNCTION publish_rule_set IS 'Make a set of the newest versions. Whoever calls it holds the organisation.';

-- -- the rules that a new organisation begins with (proctor-module.txt, "Default Rules")

CREATE FUNCTION install_default_rules(organisation uuid, at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    given record;
    rule  bigint;
BEGIN
    FOR given IN SELECT * FROM (VALUES
        (10, 2, 3, 120, 10, NULL::text, 'Tab Switch', 'التبديل بين علامات التبويب',
         '3 or more tab switches within 2 minutes.', 'ثلاث مرات أو أكثر من التبديل بين علامات التبويب خلال دقيقتين.'),
        (20, 4, 1, 0, 30, NULL, 'Fullscreen Exit', 'الخروج من وضع ملء الشاشة',
         'Any exit from fullscreen.', 'أي خروج من وضع ملء الشاشة.'),
        (30, 8, 1, 0, 40, NULL, 'DevTools', 'أدوات المطوّر',
         'Opening the developer tools.', 'فتح أدوات المطوّر في المتصفح.'),
        (40, 5, 2, 0, 15, NULL, 'Copy Attempt', 'محاولة النسخ',
         '2 or more attempts to copy.', 'محاولتان أو أكثر للنسخ.'),
        (50, 9, 1, 0, 20, 'unexplained', 'Network Loss', 'انقطاع الاتصال بالشبكة',
         'A silence of 45 seconds or more that nothing explains.', 'انقطاع لمدة 45 ثانية أو أكثر دون سبب معروف.'),
        (60, 52, 3, 60, 25, NULL, 'No Face', 'عدم ظهور الوجه',
         'No face was detected 3 or more times within a minute.', 'عدم اكتشاف أي وجه ثلاث مرات أو أكثر خلال دقيقة.'),
        (70, 53, 1, 0, 35, NULL, 'Multiple Faces', 'ظهور أكثر من وجه',
         'More than one face was detected.', 'اكتشاف أكثر من وجه أمام الكاميرا.')
    ) d (priority, event_type, threshold, window_s, points, gap_class, name_en, name_ar, description_en, description_ar)
    LOOP
        INSERT INTO risk_rules (organisation_id, created_at) VALUES (organisation, at) RETURNING id INTO rule;
        INSERT INTO risk_rule_versions (rule_id, organisation_id, version, name_en, name_ar, description_en, description_ar, is_active, event_type,
                                        threshold_count, window_seconds, risk_points, priority, gap_class, created_at)
        VALUES (rule, organisation, 1, given.name_en, given.name_ar, given.description_en, given.description_ar, true, given.event_type,
                given.threshold, given.window_s, given.points, given.priority, given.gap_class, at);
    END LOOP;
    RETURN publish_rule_set(organisation, at);
END
$$;

CREATE FUNCTION begin_with_default_rules() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM install_default_rules(NEW.id, now());
    RETURN NULL;
END
$$;
CREATE TRIGGER begin_with_default_rules AFTER INSERT ON organisations
    FOR EACH ROW EXECUTE FUNCTION begin_with_default_rules();
REVOKE ALL ON FUNCTION publish_rule_set, install_default_rules, begin_with_default_rules FROM PUBLIC;
GRANT EXECUTE ON FUNCTION publish_rule_set TO veritas_core;

SELECT install_default_rules(id, now()) FROM organisations ORDER BY id;

-- -- a session keeps the set that was the newest when it began, whoever opens it

ALTER TABLE proctor_sessions ADD COLUMN rule_set_id bigint;
UPDATE proctor_sessions s
SET rule_set_id = (SELECT max(r.id) FROM rule_sets r WHERE r.organisation_id = s.organisation_id);
ALTER TABLE proctor_sessions ADD CONSTRAINT proctor_sessions_keeps_rules
    CHECK (rule_set_id IS NOT NULL) NOT VALID;
-- The UPDATE above has touched every row already.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE proctor_sessions VALIDATE CONSTRAINT proctor_sessions_keeps_rules;

CREATE FUNCTION keep_rule_set() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    NEW.rule_set_id := (SELECT max(id) FROM rule_sets WHERE organisation_id = NEW.organisation_id);
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION keep_rule_set FROM PUBLIC;
CREATE TRIGGER keep_rule_set BEFORE INSERT ON proctor_sessions FOR EACH ROW EXECUTE FUNCTION keep_rule_set();
CREATE TRIGGER kept_rule_set BEFORE UPDATE OF rule_set_id ON proctor_sessions FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- -- what a rule weighs in one attempt, beside the exemptions of its policy (spec.md R-6)

CREATE TABLE risk_adjustments (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    attempt_id uuid NOT NULL REFERENCES exam_attempts,
    rule_id    bigint NOT NULL REFERENCES risk_rules,
    percent    smallint NOT NULL CHECK (percent = 0 OR percent BETWEEN 10 AND 100),    -- of the rule's points; 0: exempt
    reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL
);
CREATE INDEX risk_adjustments_attempt ON risk_adjustments (attempt_id, id);
CREATE TRIGGER append_only BEFORE UPDATE ON risk_adjustments FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE risk_adjustments IS 'What rules weigh in an attempt; of an attempt and a rule the newest row holds.';

-- -- scores

-- How a session's score came about, appended: from a snapshot's position everything that it rests on can be read again.
CREATE TABLE risk_snapshots (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id      bigint NOT NULL,
    rule_set_id     bigint NOT NULL,
    as_of           timestamptz NOT NULL,               -- the moment that windows count back from
    risk_score      numeric(5, 2) NOT NULL CHECK (risk_score BETWEEN 0 AND 100),
    peak_risk_score numeric(5, 2) NOT NULL CHECK (peak_risk_score BETWEEN 0 AND 100),
    cause           text NOT NULL CHECK (cause IN ('events', 'time', 'backfilled', 'gaps', 'adjusted', 'ended', 'rebuilt')),
    trace           jsonb NOT NULL,                     -- kernel/risk.py: for every point its rule, version, window and events
    -- the position: events up to this sequence, judgements of gaps and adjustments up to these, the end if it was known
    through_seq     integer NOT NULL,
    judgements      integer NOT NULL,
    adjustment_id   bigint NOT NULL,
    ended_at        timestamptz,
    calculated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX risk_snapshots_session ON risk_snapshots (session_id, id);
CREATE TRIGGER append_only BEFORE UPDATE ON risk_snapshots FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE risk_snapshots IS 'Scores of proctor sessions as they came about; appended only.';

-- One row per session that was scored: the score now, and the highest at any event's moment, whose band it has.
CREATE TABLE reporting.session_risk (
    session_id      bigint PRIMARY KEY,
    attempt_id      uuid NOT NULL,
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    rule_set_id     bigint NOT NULL,
    risk_score      numeric(5, 2) NOT NULL,
    peak_risk_score numeric(5, 2) NOT NULL,
    risk_level      text NOT NULL CHECK (risk_level IN ('Low', 'Medium', 'High', 'Critical')),
    as_of           timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX session_risk_exam ON reporting.session_risk (exam_id, peak_risk_score DESC, session_id);

-- What the score is carried forward from, by the pipeline alone: the state of kernel/risk.py, and what it was computed with.
CREATE TABLE reporting.risk_states (
    session_id    bigint PRIMARY KEY,
    state         bytea NOT NULL,
    judgements    integer NOT NULL,
    adjustment_id bigint NOT NULL,
    ended_at      timestamptz
) WITH (fillfactor = 70);

-- Which rules a session has ever met, and how often at most.
CREATE TABLE reporting.session_rule_fires (
    session_id      bigint NOT NULL,
    rule_id         bigint NOT NULL,
    version         integer NOT NULL,
    organisation_id uuid NOT NULL,
    triggers        integer NOT NULL CHECK (triggers > 0),
    PRIMARY KEY (session_id, rule_id)
);
CREATE INDEX session_rule_fires_rule ON reporting.session_rule_fires (rule_id);

-- -- who sees what: staff their organisation's rules and the scores of their exams, candidates none of it

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['risk_rules', 'risk_rule_versions', 'rule_sets', 'risk_adjustments', 'risk_snapshots',
                                   'reporting.session_risk', 'reporting.session_rule_fires']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_pipeline, veritas_analyst USING (true)', guarded);
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['risk_rules', 'risk_rule_versions', 'rule_sets']::regclass[] LOOP
        EXECUTE format('CREATE POLICY asker ON %s TO veritas_core USING (CASE WHEN (SELECT asker_view()) IN'
                       ' (''staff'', ''organisation'') THEN organisation_id = (SELECT asker_organisation()) END)', guarded);
        EXECUTE format('CREATE POLICY kept_in ON %s AS RESTRICTIVE FOR INSERT TO veritas_core'
                       ' WITH CHECK ((SELECT asker_view()) IN (''organisation'', ''system''))', guarded);
        EXECUTE format('CREATE POLICY kept_as ON %s AS RESTRICTIVE FOR UPDATE TO veritas_core'
                       ' USING ((SELECT asker_view()) IN (''organisation'', ''system''))', guarded);
    END LOOP;
END
$$;
CREATE POLICY asker ON risk_adjustments TO veritas_core
    USING ((SELECT asker_view()) IN ('staff', 'organisation') AND EXISTS (SELECT FROM exam_attempts a WHERE a.id = attempt_id));
CREATE POLICY asker ON risk_snapshots TO veritas_core
    USING ((SELECT asker_view()) IN ('staff', 'organisation') AND EXISTS (SELECT FROM proctor_sessions s WHERE s.id = session_id));
CREATE POLICY asker ON reporting.session_risk TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
CREATE POLICY asker ON reporting.session_rule_fires TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) = 'organisation' THEN organisation_id = (SELECT asker_organisation()) END);

GRANT SELECT, INSERT ON risk_rules, risk_rule_versions, rule_sets, risk_adjustments TO veritas_core;
GRANT UPDATE (deleted_at) ON risk_rules TO veritas_core;
GRANT SELECT ON risk_snapshots, reporting.session_risk, reporting.session_rule_fires TO veritas_core;
GRANT SELECT ON reporting.session_risk TO veritas_analyst;
GRANT SELECT ON risk_rule_versions, rule_sets, risk_adjustments, heartbeat_gaps TO veritas_pipeline;
GRANT SELECT (id, policy) ON exam_attempts TO veritas_pipeline;
GRANT SELECT, INSERT ON risk_snapshots TO veritas_pipeline;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON reporting.session_risk, reporting.session_rule_fires, reporting.risk_states
    TO veritas_pipeline;

-- As before, and the session's risk, for its staff alone: for its candidate it is not there (spec.md, decision 6).
CREATE OR REPLACE VIEW session_overview WITH (security_invoker = false) AS
SELECT s.id, s.attempt_id, s.exam_id, e.title AS exam_title, s.candidate_id, u.full_name AS candidate_name,
       s.organisation_id, s.mode, s.status, s.started_at, s.ended_at, s.ip_address, s.browser_name, s.heartbeat_missed_count,
       coalesce(p.total_events, 0) AS total_events, coalesce(p.total_violations, 0) AS total_violations,
       coalesce(p.through_seq, 0) AS stored_through, p.first_event_at, p.last_event_at, p.last_heartbeat_at, p.clock_offset_us,
       (SELECT max(q.ends_at) FROM session_quarantines q WHERE q.session_id = s.id) AS quarantined_until,
       r.risk_score::float8 AS risk_score, r.peak_risk_score::float8 AS peak_risk_score, r.risk_level
FROM seen_sessions s
JOIN exams e ON e.id = s.exam_id
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN reporting.session_risk r ON r.session_id = s.id AND (SELECT asker_view()) IN ('staff', 'organisation', 'system');
