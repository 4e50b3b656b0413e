-- Programmes (spec.md M-3; evalium-data-flow.txt, section 5): requirements over somebody's submissions, in versions that stay as they
-- were published; who is enrolled in which version, and how far they are.

CREATE TABLE programmes (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    creator_id      uuid NOT NULL REFERENCES users,
    title           text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    title_ar        text CHECK (length(title_ar) BETWEEN 1 AND 200),
    created_at      timestamptz NOT NULL
);
CREATE INDEX programmes_organisation ON programmes (organisation_id, id);
CREATE INDEX programmes_creator ON programmes (creator_id, id);

CREATE TABLE programme_versions (
    programme_id uuid NOT NULL REFERENCES programmes,
    version      integer NOT NULL CHECK (version > 0),
    state        text NOT NULL CHECK (state IN ('draft', 'published', 'retired')),
    drafted_at   timestamptz NOT NULL,
    published_at timestamptz,                                   -- null: it never was
    PRIMARY KEY (programme_id, version),
    CONSTRAINT published_at_a_moment CHECK (CASE state WHEN 'draft' THEN published_at IS NULL
                                                       WHEN 'published' THEN published_at IS NOT NULL ELSE true END)
);
CREATE UNIQUE INDEX programme_versions_published ON programme_versions (programme_id) WHERE state = 'published';

-- Written with their version, and never changed.
CREATE TABLE programme_requirements (
    programme_id uuid NOT NULL,
    version      integer NOT NULL,
    number       integer NOT NULL CHECK (number > 0),
    key          text NOT NULL,
    exam_ids     uuid[] NOT NULL CHECK (cardinality(exam_ids) > 0),
    asked        jsonb NOT NULL,                                -- a requirement of kernel/programmes.py
    PRIMARY KEY (programme_id, version, number),
    CONSTRAINT asked_by_its_key CHECK (asked ->> 'key' IS NOT DISTINCT FROM key AND coalesce(asked ->> 'kind' IN ('exam', 'some'), false)),
    FOREIGN KEY (programme_id, version) REFERENCES programme_versions
);

CREATE TABLE programme_enrolments (
    id              uuid PRIMARY KEY,
    programme_id    uuid NOT NULL,
    version         integer NOT NULL,
    user_id         uuid NOT NULL REFERENCES users,
    organisation_id uuid NOT NULL REFERENCES organisations,
    state           text NOT NULL CHECK (state IN ('active', 'completed', 'revoked', 'withdrawn')),
    enrolled_by     uuid NOT NULL REFERENCES users,
    enrolled_at     timestamptz NOT NULL,
    state_at        timestamptz NOT NULL,
    due_at          timestamptz,                                -- when it is to be judged next; null: only when something happens
    FOREIGN KEY (programme_id, version) REFERENCES programme_versions,
    CONSTRAINT withdrawn_is_never_due CHECK (state <> 'withdrawn' OR due_at IS NULL)
);
CREATE UNIQUE INDEX programme_enrolments_once ON programme_enrolments (programme_id, user_id) WHERE state <> 'withdrawn';
CREATE INDEX programme_enrolments_listed ON programme_enrolments (programme_id, id);
CREATE INDEX programme_enrolments_user ON programme_enrolments (user_id, id);
CREATE INDEX programme_enrolments_due ON programme_enrolments (due_at, id) WHERE due_at IS NOT NULL;

-- As it was judged last; follows from the submissions.
CREATE TABLE programme_enrolment_progress (
    enrolment_id   uuid NOT NULL REFERENCES programme_enrolments,
    number         integer NOT NULL,
    key            text NOT NULL,
    state          text NOT NULL CHECK (state IN ('met', 'open', 'missed')),
    counted        integer NOT NULL,
    needed         integer NOT NULL,
    submission_ids uuid[] NOT NULL,
    lapses_at      timestamptz,
    judged_at      timestamptz NOT NULL,
    PRIMARY KEY (enrolment_id, number)
);

-- -- the machines: core_api/programmes/states.py has the same tables

CREATE FUNCTION programme_moves() RETURNS TABLE (machine text, from_state text, to_state text, party text) LANGUAGE sql IMMUTABLE AS $$
    VALUES ('version', 'draft', 'published', 'staff'),
           ('version', 'draft', 'retired', 'staff'),
           ('version', 'published', 'retired', 'staff'),
           ('enrolment', 'active', 'completed', 'system'),
           ('enrolment', 'active', 'withdrawn', 'staff'),
           ('enrolment', 'completed', 'revoked', 'system'),
           ('enrolment', 'completed', 'withdrawn', 'staff'),
           ('enrolment', 'revoked', 'completed', 'system'),
           ('enrolment', 'revoked', 'withdrawn', 'staff')
$$;

-- Moves by the table alone, by each party as it says; who has no view, the owner or a worker, counts as any. What it is of stays;
-- without a move nothing changes but when an enrolment is due.
CREATE FUNCTION move_of_programme() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    by_party text := CASE asker_view() WHEN 'staff' THEN 'staff' WHEN 'organisation' THEN 'staff' WHEN 'system' THEN 'system'
                                       WHEN 'candidate' THEN 'candidate' END;
    moving text[] := '{state,state_at,due_at,published_at}';
BEGIN
    IF to_jsonb(NEW) - moving IS DISTINCT FROM to_jsonb(OLD) - moving THEN
        RAISE EXCEPTION 'what % is of is not changed', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.state = OLD.state
       AND (to_jsonb(NEW) - 'due_at' IS DISTINCT FROM to_jsonb(OLD) - 'due_at' OR by_party <> 'system') THEN
        RAISE EXCEPTION '% changes as it moves', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.state <> OLD.state
       AND NOT EXISTS (SELECT FROM programme_moves() m
                       WHERE m.machine = TG_ARGV[0] AND m.from_state = OLD.state AND m.to_state = NEW.state
                         AND m.party = coalesce(by_party, m.party)) THEN
        RAISE EXCEPTION '% does not become % from % by %', TG_ARGV[0], NEW.state, OLD.state, coalesce(by_party, 'anybody')
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER moved BEFORE UPDATE ON programme_versions FOR EACH ROW EXECUTE FUNCTION move_of_programme('version');
CREATE TRIGGER moved BEFORE UPDATE ON programme_enrolments FOR EACH ROW EXECUTE FUNCTION move_of_programme('enrolment');

-- A version begins as a draft, requirements come with it, and people are enrolled in what is published.
CREATE FUNCTION begin_of_programme() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    expected text := TG_ARGV[0];
BEGIN
    IF (CASE WHEN TG_TABLE_NAME = 'programme_versions' THEN to_jsonb(NEW) ->> 'state' <> expected
             ELSE NOT EXISTS (SELECT FROM programme_versions v
                              WHERE v.programme_id = NEW.programme_id AND v.version = NEW.version AND v.state = expected) END)
       OR (TG_TABLE_NAME = 'programme_enrolments' AND to_jsonb(NEW) ->> 'state' <> 'active') THEN
        RAISE EXCEPTION '% begins with a version that is %', TG_TABLE_NAME, expected USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION move_of_programme, begin_of_programme FROM PUBLIC;
CREATE TRIGGER begun BEFORE INSERT ON programme_versions FOR EACH ROW EXECUTE FUNCTION begin_of_programme('draft');
CREATE TRIGGER begun BEFORE INSERT ON programme_requirements FOR EACH ROW EXECUTE FUNCTION begin_of_programme('draft');
CREATE TRIGGER begun BEFORE INSERT ON programme_enrolments FOR EACH ROW EXECUTE FUNCTION begin_of_programme('published');
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON programme_requirements FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON programme_requirements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE programme_requirements ENABLE ALWAYS TRIGGER frozen;
ALTER TABLE programme_requirements ENABLE ALWAYS TRIGGER kept;

-- -- who sees and writes what

-- In its owner's name: what an asker is enrolled in says which programmes they see, and these say which enrolments staff see.
CREATE FUNCTION own_programme_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT programme_id FROM programme_enrolments WHERE user_id = asker()
$$;
REVOKE ALL ON FUNCTION own_programme_ids FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_programme_ids TO veritas_core;

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['programmes', 'programme_versions', 'programme_requirements', 'programme_enrolments',
                                   'programme_enrolment_progress']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_pipeline USING (true)', guarded);
        EXECUTE format('CREATE POLICY bound ON %s AS RESTRICTIVE TO veritas_core USING ((SELECT asker_exam()) IS NULL)', guarded);
        EXECUTE format('CREATE POLICY written ON %s AS RESTRICTIVE FOR INSERT TO veritas_core'
                       ' WITH CHECK ((SELECT asker_view()) IN (''organisation'', ''staff'', ''system''))', guarded);
        EXECUTE format('CREATE POLICY changed ON %s AS RESTRICTIVE FOR UPDATE TO veritas_core'
                       ' USING ((SELECT asker_view()) IN (''organisation'', ''staff'', ''system''))', guarded);
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['programme_versions', 'programme_requirements']::regclass[] LOOP
        EXECUTE format('CREATE POLICY asker ON %s TO veritas_core USING (EXISTS (SELECT FROM programmes p WHERE p.id = programme_id))',
                       guarded);
    END LOOP;
END
$$;
CREATE POLICY asker ON programmes TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN creator_id = (SELECT asker())
               WHEN 'candidate' THEN id IN (SELECT * FROM own_programme_ids())
           END);
CREATE POLICY asker ON programme_enrolments TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN EXISTS (SELECT FROM programmes p WHERE p.id = programme_id)
               WHEN 'candidate' THEN user_id = (SELECT asker())
           END);
CREATE POLICY asker ON programme_enrolment_progress TO veritas_core
    USING (EXISTS (SELECT FROM programme_enrolments e WHERE e.id = enrolment_id));
CREATE POLICY judged_in ON programme_enrolment_progress AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK ((SELECT asker_view()) = 'system');
CREATE POLICY judged ON programme_enrolment_progress AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING ((SELECT asker_view()) = 'system');

GRANT SELECT, INSERT ON programmes, programme_requirements TO veritas_core;
GRANT SELECT, INSERT, UPDATE (state, published_at) ON programme_versions TO veritas_core;
GRANT SELECT, INSERT, UPDATE (state, state_at, due_at) ON programme_enrolments TO veritas_core;
GRANT SELECT, INSERT, UPDATE (state, counted, submission_ids, lapses_at, judged_at) ON programme_enrolment_progress TO veritas_core;
GRANT SELECT ON programme_requirements TO veritas_pipeline;
GRANT SELECT, UPDATE (due_at) ON programme_enrolments TO veritas_pipeline;

-- -- what the ledger commits to

CREATE FUNCTION record_of_programme(of_id text, of_subject uuid) RETURNS TABLE (part text, state text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'programme', json_build_array(p.organisation_id, p.creator_id, p.title, p.title_ar, p.created_at)::text
    FROM programmes p WHERE p.id = of_id::uuid
    UNION ALL
    SELECT 'version ' || v.version, json_build_array(v.state, v.drafted_at, v.published_at)::text
    FROM programme_versions v WHERE v.programme_id = of_id::uuid
    UNION ALL
    SELECT 'requirement ' || r.version || ' ' || r.number, json_build_array(r.key, r.exam_ids, r.asked)::text
    FROM programme_requirements r WHERE r.programme_id = of_id::uuid;
END
$$;
CREATE FUNCTION record_of_programme_enrolment(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'enrolment', json_build_array(e.programme_id, e.version, e.user_id, e.organisation_id, e.state, e.enrolled_by, e.enrolled_at,
                                         e.state_at)::text
    FROM programme_enrolments e WHERE e.id = of_id::uuid;
END
$$;
REVOKE ALL ON FUNCTION record_of_programme, record_of_programme_enrolment FROM PUBLIC;
