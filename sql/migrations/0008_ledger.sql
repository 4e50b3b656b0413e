-- The ledger (spec.md L-1, L-2). A business transaction inserts an event; a trigger queues it; one sealer gives committed
-- events their positions, so that nobody ever waits for anybody. Events, leaves and heads are never changed again.

CREATE TABLE ledger_events (
    id              uuid PRIMARY KEY,                   -- UUIDv7 of occurred_at: pages of the audit log go by it
    organisation_id uuid NOT NULL,
    occurred_at     timestamptz NOT NULL,
    kind            text NOT NULL CHECK (kind ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$'),
    aggregate_type  text NOT NULL,
    aggregate_id    text NOT NULL,
    actor_id        uuid,                               -- null: the system
    actor_role      text NOT NULL,
    subject_id      uuid,                               -- the person whom it is about
    body            bytea NOT NULL CHECK (length(body) <= 65536),   -- the bytes that the leaf hashes; the columns repeat them
    CHECK (substring(uuid_send(id) FROM 1 FOR 6)
           = substring(int8send(floor(extract(epoch FROM occurred_at) * 1000)::bigint) FROM 3))
);
CREATE INDEX ledger_events_organisation ON ledger_events (organisation_id, id);
CREATE INDEX ledger_events_kind ON ledger_events (organisation_id, kind, id);
CREATE INDEX ledger_events_aggregate ON ledger_events (aggregate_id, id);
CREATE INDEX ledger_events_actor ON ledger_events (actor_id, id);
COMMENT ON TABLE ledger_events IS 'Append-only record of every change to a durable record, and of every sensitive view.';

-- The personal values that events commit to, with their salts. Deleted with the person: the commitment in the body then
-- opens to nothing, and the log stays valid.
CREATE TABLE ledger_salts (
    event_id  uuid NOT NULL,
    name      text NOT NULL,
    person_id uuid,                                     -- whose value it is; null: nobody known
    salt      bytea NOT NULL CHECK (length(salt) = 16),
    value     text NOT NULL,
    PRIMARY KEY (event_id, name)
);
CREATE INDEX ledger_salts_person ON ledger_salts (person_id);

-- A queue that is always read whole, hence without an index. Only the trigger inserts, only the sealer deletes.
CREATE TABLE ledger_pending (
    event_id uuid NOT NULL
) WITH (autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0);

-- Where an event stands in the log. The primary key is the sealer's compare-and-set: who would give a position a second
-- time has an old idea of the tree's size, and fails.
CREATE TABLE ledger_leaves (
    position  bigint PRIMARY KEY CHECK (position >= 0),
    event_id  uuid NOT NULL UNIQUE,
    leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32)
);

-- The tree: up to 256 hashes in a row, of complete subtrees of 256 ^ level leaves each.
CREATE TABLE ledger_tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    index  bigint NOT NULL CHECK (index >= 0),
    hashes bytea NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, index)
);
ALTER TABLE ledger_tiles ALTER hashes SET STORAGE EXTERNAL;     -- hashes do not compress

-- Signed heads. Size, root and time stand in the note, under its signature.
CREATE TABLE ledger_heads (
    size bigint PRIMARY KEY CHECK (size > 0),
    note text NOT NULL
);

CREATE FUNCTION queue_for_sealing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_pending (event_id) SELECT id FROM appended;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION queue_for_sealing() FROM PUBLIC;
CREATE TRIGGER queued AFTER INSERT ON ledger_events REFERENCING NEW TABLE AS appended
    FOR EACH STATEMENT EXECUTE FUNCTION queue_for_sealing();

-- A tile only grows at its end.
CREATE FUNCTION refuse_other_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.level <> OLD.level OR NEW.index <> OLD.index
       OR substring(NEW.hashes FROM 1 FOR length(OLD.hashes)) <> OLD.hashes THEN
        RAISE EXCEPTION 'a hash in a tile of the ledger is never changed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_grows BEFORE UPDATE ON ledger_tiles FOR EACH ROW EXECUTE FUNCTION refuse_other_hashes();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON ledger_tiles FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- They hold in a session that applies replicated changes as well.
ALTER TABLE ledger_events ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger_events ENABLE ALWAYS TRIGGER queued;
ALTER TABLE ledger_leaves ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger_heads ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger_tiles ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger_tiles ENABLE ALWAYS TRIGGER only_grows;

GRANT SELECT, INSERT ON ledger_events, ledger_salts TO veritas_core, veritas_pipeline;
GRANT DELETE ON ledger_salts TO veritas_core, veritas_pipeline;         -- erasing a person
GRANT SELECT ON ledger_leaves, ledger_tiles, ledger_heads TO veritas_core;
GRANT SELECT, DELETE ON ledger_pending TO veritas_pipeline;
GRANT SELECT, INSERT ON ledger_leaves, ledger_heads TO veritas_pipeline;
GRANT SELECT, INSERT, UPDATE ON ledger_tiles TO veritas_pipeline;
