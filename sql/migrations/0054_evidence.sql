-- Evidence (spec.md V-1 … V-3, S-1): files that belong to a proctor session, or to what an observer finds at an exam. The bytes
-- are in an object store (kernel/storage); what they are, and where, is here. A file has one chunk, a recording as many as were
-- sent. Who had to do with it stands on the ledger.

CREATE TABLE evidence (
    id               bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id       bigint REFERENCES proctor_sessions,    -- null: of a finding at the exam
    exam_id          uuid NOT NULL REFERENCES exams,
    organisation_id  uuid NOT NULL REFERENCES organisations,
    uploader_id      uuid NOT NULL REFERENCES users,        -- the session's candidate, or the observer
    type             smallint NOT NULL CHECK (type BETWEEN 1 AND 6),
    status           smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 4),   -- pending, confirmed, incomplete, abandoned
    tier             text NOT NULL DEFAULT 'hot' CHECK (tier IN ('hot', 'cold')),
    is_late          boolean NOT NULL DEFAULT false,        -- something of it came after the session's end
    is_chunked       boolean NOT NULL,
    file_name        text NOT NULL,
    content_type     text NOT NULL,
    start_at         timestamptz,
    end_at           timestamptz,
    duration_seconds double precision CHECK (duration_seconds >= 0),
    metadata         json,                                  -- as it came
    chunk_count      integer,                               -- from here on null until it is closed
    size_bytes       bigint,
    sha256           bytea CHECK (length(sha256) = 32),     -- of the file; of a recording: of its chunks' hashes, one after the other
    requested_at     timestamptz NOT NULL,
    closed_at        timestamptz,
    moved_at         timestamptz,                           -- to the tier where it is; null: never
    expires_at       timestamptz NOT NULL,                  -- kept until then, and longer where something is open
    CHECK ((status = 1) = (closed_at IS NULL)),
    CHECK ((status IN (2, 3)) = (sha256 IS NOT NULL)),
    CHECK (end_at >= start_at)
);
CREATE INDEX evidence_session ON evidence (session_id, id);
CREATE INDEX evidence_exam ON evidence (exam_id);
CREATE INDEX evidence_uploader ON evidence (uploader_id, exam_id);
CREATE INDEX evidence_type ON evidence (type);
CREATE INDEX evidence_expiry ON evidence (expires_at);
CREATE INDEX evidence_pending ON evidence (requested_at) WHERE status = 1;
CREATE INDEX evidence_hot ON evidence (closed_at) WHERE tier = 'hot' AND status IN (2, 3);
CREATE INDEX evidence_moved ON evidence (moved_at) WHERE moved_at IS NOT NULL;
COMMENT ON TABLE evidence IS 'Photographs, recordings and documents: what they are, whose, and in which tier of the object store.';

CREATE TABLE evidence_chunks (
    evidence_id   bigint NOT NULL REFERENCES evidence,
    number        integer NOT NULL CHECK (number > 0),
    stated_sha256 bytea CHECK (length(stated_sha256) = 32), -- what the client said before it sent it; null: nothing
    stated_bytes  bigint CHECK (stated_bytes > 0),
    start_at      timestamptz,
    end_at        timestamptz,
    size_bytes    bigint CHECK (size_bytes > 0),            -- what arrived; from here on null until it has
    sha256        bytea CHECK (length(sha256) = 32),
    object_key    text,
    stored_at     timestamptz,
    PRIMARY KEY (evidence_id, number),
    CHECK (end_at >= start_at),
    CHECK ((stored_at IS NULL) = (object_key IS NULL) AND (stored_at IS NULL) = (sha256 IS NULL)
           AND (stored_at IS NULL) = (size_bytes IS NULL))
);

-- What an organisation has stored, in a few rows each, so that uploads at the same time do not wait for one.
CREATE TABLE evidence_usage (
    organisation_id uuid NOT NULL REFERENCES organisations,
    slot            smallint NOT NULL,
    size_bytes      bigint NOT NULL,
    PRIMARY KEY (organisation_id, slot)
) WITH (fillfactor = 50);

CREATE FUNCTION count_stored_evidence() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO evidence_usage AS u (organisation_id, slot, size_bytes)
    SELECT e.organisation_id, mod(e.id, 16), NEW.size_bytes FROM evidence e WHERE e.id = NEW.evidence_id
    ON CONFLICT (organisation_id, slot) DO UPDATE SET size_bytes = u.size_bytes + excluded.size_bytes;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION count_stored_evidence() FROM PUBLIC;
CREATE TRIGGER counted AFTER UPDATE OF stored_at ON evidence_chunks FOR EACH ROW
    WHEN (OLD.stored_at IS NULL AND NEW.stored_at IS NOT NULL) EXECUTE FUNCTION count_stored_evidence();

-- -- what has arrived, and what was closed, never changes; where it is kept may

CREATE TRIGGER closed BEFORE UPDATE ON evidence FOR EACH ROW
    WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION keep_all_but('tier', 'moved_at', 'expires_at');
CREATE TRIGGER stored BEFORE UPDATE ON evidence_chunks FOR EACH ROW
    WHEN (OLD.stored_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON evidence FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE TRUNCATE ON evidence_chunks FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- -- who sees and writes which rows

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['evidence', 'evidence_chunks', 'evidence_usage']::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_pipeline USING (true)', guarded);
    END LOOP;
END
$$;
CREATE POLICY asker ON evidence TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
               ELSE uploader_id = (SELECT asker())
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation()) AND uploader_id = (SELECT asker())
                AND CASE (SELECT asker_view())
                        WHEN 'candidate' THEN EXISTS (SELECT FROM proctor_sessions s
                                                      WHERE s.id = session_id AND s.exam_id = evidence.exam_id)
                        WHEN 'observer' THEN session_id IS NULL
                                             AND EXISTS (SELECT FROM observed_exams o WHERE o.exam_id = evidence.exam_id)
                    END);
CREATE POLICY asker ON evidence_chunks TO veritas_core
    USING (EXISTS (SELECT FROM evidence e WHERE e.id = evidence_id))
    WITH CHECK (EXISTS (SELECT FROM evidence e WHERE e.id = evidence_id AND e.uploader_id = (SELECT asker())));
-- Only who sends it writes it; staff look.
CREATE POLICY sent ON evidence AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING ((SELECT asker_view()) = 'system' OR uploader_id = (SELECT asker()));
CREATE POLICY bound ON evidence AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END);

GRANT SELECT, INSERT, UPDATE (status, is_late, chunk_count, size_bytes, sha256, closed_at) ON evidence TO veritas_core;
GRANT SELECT, INSERT, UPDATE (stated_sha256, stated_bytes, start_at, end_at, size_bytes, sha256, object_key, stored_at)
    ON evidence_chunks TO veritas_core;
-- What the asker's organisation has stored, bytes.
CREATE FUNCTION evidence_stored() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(size_bytes), 0)::bigint FROM evidence_usage WHERE organisation_id = asker_organisation()
$$;
REVOKE ALL ON FUNCTION evidence_stored FROM PUBLIC;
GRANT EXECUTE ON FUNCTION evidence_stored TO veritas_core;
GRANT SELECT ON evidence, evidence_chunks TO veritas_pipeline;

-- -- custody: what the ledger holds about evidence, for whoever may see the evidence; for nobody who sends it

CREATE VIEW seen_custody AS
SELECT e.session_id, e.id AS evidence_id, l.id AS event_id, l.body, p.position
FROM evidence e
JOIN ledger_events l ON l.aggregate_id = e.id::text AND l.aggregate_type = 'evidence'
LEFT JOIN ledger_leaves p ON p.event_id = l.id
WHERE CASE (SELECT asker_view())
          WHEN 'system' THEN true
          WHEN 'organisation' THEN e.organisation_id = (SELECT asker_organisation())
          WHEN 'staff' THEN e.exam_id IN (SELECT * FROM reached_exam_ids())
      END;
GRANT SELECT ON seen_custody TO veritas_core;

-- -- the mover: a row to its other tier, with the event that says so, and nothing else

-- No: it is there already, or was never closed. `said` is the event's body, `place` where in it the commitment goes.
CREATE FUNCTION move_evidence(of_id bigint, to_tier text, by_event uuid, at timestamptz, said bytea, place integer, salt bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved evidence;
    record_hashes text;
    record_committed text;
BEGIN
    UPDATE evidence SET tier = to_tier, moved_at = at WHERE id = of_id AND tier <> to_tier AND closed_at IS NOT NULL
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
REVOKE ALL ON FUNCTION move_evidence FROM PUBLIC;
GRANT EXECUTE ON FUNCTION move_evidence TO veritas_pipeline;

-- -- evidence of a finding: one that is there, and of one finding alone

-- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
ALTER TABLE submission_evidence ADD CONSTRAINT submission_evidence_of FOREIGN KEY (evidence_id) REFERENCES evidence;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX submission_evidence_once ON submission_evidence (evidence_id);

-- A piece of evidence, with its chunks once it is closed.
CREATE FUNCTION record_of_evidence(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'evidence', json_build_array(e.session_id, e.exam_id, e.organisation_id, e.uploader_id, e.type, e.status, e.tier,
                                        e.is_late, e.is_chunked, e.file_name, e.content_type, e.start_at, e.end_at,
                                        e.duration_seconds, e.metadata, e.chunk_count, e.size_bytes, encode(e.sha256, 'hex'),
                                        e.requested_at, e.closed_at, e.moved_at, e.expires_at)::text
    FROM evidence e WHERE e.id = of_id::bigint
    UNION ALL
    SELECT 'chunk ' || c.number, json_build_array(c.start_at, c.end_at, c.size_bytes, encode(c.sha256, 'hex'), c.object_key,
                                                  c.stored_at)::text
    FROM evidence_chunks c JOIN evidence e ON e.id = c.evidence_id
    WHERE c.evidence_id = of_id::bigint AND e.closed_at IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION record_of_evidence FROM PUBLIC;
