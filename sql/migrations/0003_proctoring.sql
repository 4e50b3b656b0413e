-- Proctor sessions and the event path. Events are append-only: nobody may update one (spec.md I-7).

CREATE TABLE proctor_sessions (
    id                     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (MAXVALUE 2147483647),
    attempt_id             uuid NOT NULL REFERENCES exam_attempts,
    exam_id                uuid NOT NULL REFERENCES exams,
    candidate_id           uuid NOT NULL REFERENCES users,
    organisation_id        uuid NOT NULL REFERENCES organisations,
    mode                   smallint NOT NULL CHECK (mode IN (1, 2)),
    status                 smallint NOT NULL DEFAULT 1 CHECK (status IN (1, 2, 3)),
    started_at             timestamptz NOT NULL,
    ended_at               timestamptz,
    final_seq              integer,                     -- set by the end entry of the stream, in order with the events
    device_fingerprint     text,
    user_agent             text,
    browser_name           text,
    browser_version        text,
    operating_system       text,
    screen_resolution      text,
    ip_address             inet,
    heartbeat_missed_count integer NOT NULL DEFAULT 0,
    UNIQUE (attempt_id, mode),
    CHECK ((status = 1) = (ended_at IS NULL))
);
CREATE INDEX proctor_sessions_exam ON proctor_sessions (exam_id, id);
CREATE INDEX proctor_sessions_candidate ON proctor_sessions (candidate_id);
CREATE INDEX proctor_sessions_active ON proctor_sessions (id) WHERE status = 1;
-- Ended in PostgreSQL, and the stream has not said so yet: what the closer looks for.
CREATE INDEX proctor_sessions_closing ON proctor_sessions (id) WHERE status <> 1 AND final_seq IS NULL;

-- Whoever ends a session wakes the closer at once; a sweep catches what a lost notification misses.
CREATE FUNCTION notify_session_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('session_ended', NEW.id::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER session_ended AFTER UPDATE OF status ON proctor_sessions
    FOR EACH ROW WHEN (OLD.status = 1 AND NEW.status <> 1) EXECUTE FUNCTION notify_session_ended();

-- A monitoring module may report for an attempt before the candidate's browser has opened a session.
CREATE FUNCTION open_soft_session(attempt uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
    SELECT a.id, a.exam_id, a.student_id, e.organisation_id, 1, now()
    FROM exam_attempts a JOIN exams e ON e.id = a.exam_id
    WHERE a.id = attempt AND a.status = 'in_progress'
    ON CONFLICT (attempt_id, mode) DO UPDATE SET mode = excluded.mode
    RETURNING id
$$;
REVOKE ALL ON FUNCTION open_soft_session FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_soft_session TO veritas_ingest;

CREATE TABLE events (
    session_id   bigint NOT NULL,
    seq          integer NOT NULL,                      -- dense per session, from 1
    occurred_at  timestamptz NOT NULL,                  -- server time at acceptance, never running backwards in a session
    effective_at timestamptz,                           -- corrected client time of a back-filled event; else null
    client_at    timestamptz,                           -- what the client's clock said
    client       bigint,                                -- client instance (hash of its name); null when it sent none
    client_seq   bigint,
    event_type   smallint NOT NULL,
    severity     smallint NOT NULL,
    is_violation boolean NOT NULL,
    is_late      boolean NOT NULL,                      -- arrived after the session had ended
    event_name   text,                                  -- for type 0 only
    payload      jsonb
);
SELECT create_hypertable('events', 'occurred_at', chunk_time_interval => interval '1 day', create_default_indexes => false);
CREATE INDEX events_session_seq ON events (session_id, seq);
COMMENT ON TABLE events IS 'Append-only monitoring events, one row per event; (session_id, seq) is unique by construction.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the table is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What analysis adds later, beside the events (spec.md I-7).
CREATE TABLE event_analysis (
    session_id     bigint NOT NULL,
    seq            integer NOT NULL,
    is_anomaly     boolean,
    anomaly_score  double precision,
    description    text,
    analysis_notes text,
    metric_version text NOT NULL,
    PRIMARY KEY (session_id, seq)
);

-- One row per session that has events: what the writer has stored, kept in the COPY's transaction.
CREATE TABLE session_progress (
    session_id        bigint PRIMARY KEY,
    through_seq       integer NOT NULL,                 -- every sequence up to this is stored (or dead-lettered)
    total_events      integer NOT NULL,
    total_violations  integer NOT NULL,
    first_event_at    timestamptz NOT NULL,
    last_event_at     timestamptz NOT NULL,
    last_heartbeat_at timestamptz,
    clock_offset_us   bigint                            -- server minus client clock, from heartbeats
) WITH (fillfactor = 50);

-- What was received from each client instance, so that a hole can still be filled after Redis has lost its memory.
CREATE TABLE session_clients (
    session_id bigint NOT NULL,
    client     bigint NOT NULL,
    received   int8multirange NOT NULL,
    PRIMARY KEY (session_id, client)
) WITH (fillfactor = 50);

-- A row per session touched by a batch, written with it and deleted by the projection that has taken it in.
CREATE TABLE dirty_sessions (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id bigint NOT NULL,
    marked_at  timestamptz NOT NULL DEFAULT now()
);

-- How far each shard's stream has been written. The writer's compare-and-set on this row is what makes a batch
-- exactly-once and fences a writer that was paused.
CREATE TABLE stream_offsets (
    shard      smallint PRIMARY KEY,
    epoch      integer NOT NULL,
    counter    bigint NOT NULL,                         -- of the last stream entry whose rows are stored
    stored_at  timestamptz NOT NULL DEFAULT now()
);

-- One epoch per shard and incarnation of Redis. Ids in the stream are epoch-counter.
CREATE TABLE stream_epochs (
    shard          smallint NOT NULL,
    epoch          integer NOT NULL CHECK (epoch > 0),
    run_id         text NOT NULL,
    replication_id text NOT NULL,
    allotted_at    timestamptz NOT NULL DEFAULT now(),
    opened_at      timestamptz,                         -- null: admission is still closed
    PRIMARY KEY (shard, epoch)
);

-- A loss that was seen: acknowledged entries that Redis no longer has. Never silent, never deleted.
CREATE TABLE stream_losses (
    id               bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    shard            smallint NOT NULL,
    epoch            integer NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('gap', 'rolled_back', 'emptied')),
    expected_counter bigint NOT NULL,                   -- the entry that should have come next
    found_counter    bigint,                            -- the one that did; null when there was none
    detected_at      timestamptz NOT NULL DEFAULT now()
);

-- Rows that PostgreSQL refused, with the reason. Their sequence numbers are taken and stay in order.
CREATE TABLE dead_letters (
    session_id  bigint NOT NULL,
    seq         integer NOT NULL,
    shard       smallint NOT NULL,
    epoch       integer NOT NULL,
    counter     bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    sqlstate    text NOT NULL,
    reason      text NOT NULL,
    event       bytea NOT NULL,                         -- the event as JSON bytes, as it came
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, seq)
);

-- Silences longer than 45 s, appended: a row when one is seen, a second when it ends (spec.md, decision 11).
CREATE TABLE heartbeat_gaps (
    session_id  bigint NOT NULL,
    started_at  timestamptz NOT NULL,                   -- the last heartbeat before the silence
    state       text NOT NULL CHECK (state IN ('open', 'closed')),
    ended_at    timestamptz,
    class       text CHECK (class IN ('network', 'unexplained')),
    missed      integer,                                -- whole heartbeat intervals inside the gap
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, started_at, state),
    CHECK ((state = 'closed') = (ended_at IS NOT NULL))
);

-- The name and the columns of veritas-architecture.txt.
CREATE VIEW monitoring_events AS
SELECT (e.session_id << 22) | e.seq AS id, s.attempt_id AS exam_attempt_id, s.candidate_id AS student_id,
       e.session_id AS proctor_session_id, e.seq AS sequence_number, e.event_type, e.event_name, e.severity,
       e.is_violation, e.is_late, e.payload AS data_payload, a.is_anomaly, a.anomaly_score, a.description, a.analysis_notes,
       e.client_at AS client_timestamp, e.occurred_at AS server_timestamp, coalesce(e.effective_at, e.occurred_at) AS effective_at
FROM events e
JOIN proctor_sessions s ON s.id = e.session_id
LEFT JOIN event_analysis a ON a.session_id = e.session_id AND a.seq = e.seq;

GRANT SELECT, INSERT ON events, dead_letters, stream_epochs, stream_losses, heartbeat_gaps TO veritas_ingest;
GRANT INSERT ON dirty_sessions TO veritas_ingest;
GRANT SELECT, INSERT, UPDATE ON session_progress, session_clients, stream_offsets TO veritas_ingest;
GRANT UPDATE (opened_at) ON stream_epochs TO veritas_ingest;
GRANT SELECT ON proctor_sessions TO veritas_ingest;
GRANT UPDATE (final_seq, heartbeat_missed_count) ON proctor_sessions TO veritas_ingest;

GRANT SELECT, INSERT, UPDATE ON proctor_sessions TO veritas_core;
GRANT SELECT ON events, monitoring_events, event_analysis, session_progress, heartbeat_gaps, dead_letters, stream_losses,
    stream_offsets, stream_epochs TO veritas_core;

GRANT SELECT ON events, monitoring_events, session_progress, proctor_sessions, heartbeat_gaps, stream_offsets TO veritas_pipeline;
GRANT SELECT, INSERT, UPDATE ON event_analysis TO veritas_pipeline;
GRANT SELECT, DELETE ON dirty_sessions TO veritas_pipeline;
