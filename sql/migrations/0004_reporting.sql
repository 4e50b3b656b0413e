-- What is computed from the events, for the API to read. Everything here can be dropped and rebuilt (spec.md W-2).

CREATE SCHEMA reporting;

-- One row per attempt that has events. The same columns as the Parquet dataset; warehouse/layout.py says what each means.
CREATE TABLE reporting.attempt_activity (
    attempt_id         uuid PRIMARY KEY,
    exam_id            uuid NOT NULL,
    student_id         uuid NOT NULL,
    session_ids        bigint[] NOT NULL,               -- ascending
    events             bigint NOT NULL,
    violations         bigint NOT NULL,
    by_type            jsonb NOT NULL,                  -- {"TabSwitched": 3}
    by_severity        jsonb NOT NULL,                  -- {"0": 12}
    first_event_at     timestamptz NOT NULL,
    last_event_at      timestamptz NOT NULL,
    longest_silence_s  double precision,
    heartbeat_coverage double precision,                -- 0 to 1; null: not enough evidence
    clock_skew_ms      double precision,                -- client minus server, median; null: no heartbeat said its time
    late_events        bigint NOT NULL,
    metric_version     text NOT NULL,
    coverage           double precision NOT NULL,       -- share of the three numbers above that could be computed
    reasons            jsonb NOT NULL,                  -- [{"code", "value", "threshold", "n", "text"}]
    as_of              timestamptz NOT NULL             -- how far the row's inputs reach
);
CREATE INDEX attempt_activity_exam ON reporting.attempt_activity (exam_id);

-- A partition of a dataset whose rows have changed since it was last published: written with the rows, deleted by the
-- publisher that has taken them. Inserted only, so that two projections of one exam never wait for one another.
CREATE TABLE reporting.partition_marks (
    id        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    dataset   text NOT NULL,
    partition text NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);

-- The events archive goes forward in numbered batches: planned here first (which sequences of which session), then
-- written as Parquet, then published, then confirmed. A batch found unconfirmed is done again, and the manifest's
-- watermark tells whether it had already been published.
CREATE TABLE reporting.archive_batches (
    id           bigint PRIMARY KEY CHECK (id > 0),
    kind         text NOT NULL CHECK (kind IN ('append', 'whole')),     -- whole: every day that the events table still holds
    planned_at   timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz
);
CREATE UNIQUE INDEX archive_batches_open ON reporting.archive_batches ((true)) WHERE confirmed_at IS NULL;

CREATE TABLE reporting.archive_ranges (
    batch_id    bigint NOT NULL REFERENCES reporting.archive_batches ON DELETE CASCADE,
    session_id  bigint NOT NULL,
    after_seq   integer NOT NULL,
    through_seq integer NOT NULL,
    after_at    timestamptz NOT NULL,                   -- no event of the range is older
    through_at  timestamptz NOT NULL,                   -- or younger
    PRIMARY KEY (batch_id, session_id),
    CHECK (after_seq < through_seq)
);

-- How far each session's events are in a planned batch. A session's rows are committed in order of their sequence, so
-- nothing can appear below this mark later, whichever transaction commits last.
CREATE TABLE reporting.archived_sessions (
    session_id  bigint PRIMARY KEY,
    through_seq integer NOT NULL,
    through_at  timestamptz NOT NULL
) WITH (fillfactor = 50);

GRANT USAGE ON SCHEMA reporting TO veritas_pipeline, veritas_core, veritas_analyst;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA reporting TO veritas_pipeline;
GRANT SELECT ON reporting.attempt_activity TO veritas_core, veritas_analyst;
