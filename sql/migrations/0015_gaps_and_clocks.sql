-- Gaps are judged by how much of them was back-filled, and again when more arrives; steps of clients' clocks are kept.

-- A judgement is a row of its own: revision 0 opens the gap, the newest one says what it is.
ALTER TABLE heartbeat_gaps
    ADD COLUMN revision integer NOT NULL DEFAULT 0 CHECK (revision >= 0),
    ADD COLUMN covered int4multirange;                  -- heartbeat intervals, counted from 0, in which back-fill stands
UPDATE heartbeat_gaps SET revision = 1, covered = '{}' WHERE state = 'closed';
ALTER TABLE heartbeat_gaps
    DROP CONSTRAINT heartbeat_gaps_pkey,
    ADD PRIMARY KEY (session_id, started_at, revision),
    ADD CHECK ((state = 'open') = (revision = 0)),
    ADD CHECK ((state = 'closed') = (covered IS NOT NULL AND class IS NOT NULL AND missed IS NOT NULL));
CREATE TRIGGER append_only BEFORE UPDATE ON heartbeat_gaps FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE heartbeat_gaps IS 'Silences of 45 s and more, appended: revision 0 when seen, one more for each judgement.';

-- Each gap as it is judged now.
CREATE OR REPLACE VIEW seen_gaps AS
SELECT DISTINCT ON (g.session_id, g.started_at) g.*
FROM heartbeat_gaps g JOIN seen_sessions s ON s.id = g.session_id
ORDER BY g.session_id, g.started_at, g.revision DESC;

-- Set while a gap is open, so that nobody looks at the session again until something happens in it.
ALTER TABLE proctor_sessions ADD COLUMN silent_since timestamptz;
CREATE INDEX proctor_sessions_watched ON proctor_sessions (id) WHERE status = 1 AND silent_since IS NULL;

-- What the sweep has to look at, written with the rows that give cause: a gap that ended (the heartbeat came back, or the
-- session ended), and rows that fill one. A fill before its gap has ended waits for that (due at infinity).
CREATE TABLE gap_marks (
    id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id  bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('returned', 'ended', 'filled')),
    started_at  timestamptz NOT NULL,                   -- of the gap; of a fill: its earliest effective time
    ended_at    timestamptz NOT NULL,                   -- of the gap; of a fill: its latest effective time
    from_seq    integer,                                -- of a fill: the rows that it stands in
    through_seq integer,
    due_at      timestamptz NOT NULL,
    CHECK ((kind = 'filled') = (from_seq IS NOT NULL AND through_seq IS NOT NULL))
);
CREATE INDEX gap_marks_due ON gap_marks (due_at);
CREATE INDEX gap_marks_session ON gap_marks (session_id);

-- Steps of a candidate's clock, as two agreeing heartbeats confirmed them.
CREATE TABLE clock_steps (
    session_id    bigint NOT NULL,
    at            timestamptz NOT NULL,                 -- server time of the heartbeat that confirmed it
    old_offset_us bigint NOT NULL,                      -- server minus client clock before
    new_offset_us bigint NOT NULL,
    PRIMARY KEY (session_id, at)
);
CREATE TRIGGER append_only BEFORE UPDATE ON clock_steps FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE VIEW seen_clock_steps AS
SELECT c.* FROM clock_steps c JOIN seen_sessions s ON s.id = c.session_id;

-- Gaps that are open: those that last are not watched, those that are over are judged.
UPDATE proctor_sessions s SET silent_since = g.started_at
FROM heartbeat_gaps g
WHERE g.session_id = s.id AND s.status = 1 AND g.state = 'open'
  AND NOT EXISTS (SELECT FROM heartbeat_gaps c WHERE c.session_id = g.session_id AND c.started_at = g.started_at AND c.revision > 0);
INSERT INTO gap_marks (session_id, kind, started_at, ended_at, due_at)
SELECT g.session_id, CASE WHEN p.last_heartbeat_at > g.started_at THEN 'returned' ELSE 'ended' END, g.started_at,
       coalesce(nullif(greatest(p.last_heartbeat_at, g.started_at), g.started_at), s.ended_at), now()
FROM heartbeat_gaps g
JOIN proctor_sessions s ON s.id = g.session_id
LEFT JOIN session_progress p ON p.session_id = g.session_id
WHERE g.state = 'open'
  AND NOT EXISTS (SELECT FROM heartbeat_gaps c WHERE c.session_id = g.session_id AND c.started_at = g.started_at AND c.revision > 0)
  AND (p.last_heartbeat_at > g.started_at OR s.ended_at > g.started_at);

GRANT SELECT, INSERT, DELETE, UPDATE (due_at) ON gap_marks TO veritas_ingest;
GRANT INSERT ON clock_steps TO veritas_ingest;
GRANT UPDATE (silent_since) ON proctor_sessions TO veritas_ingest;
GRANT SELECT ON seen_clock_steps TO veritas_core;
