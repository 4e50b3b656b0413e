-- Time in which nothing was taken for a shard: nobody could be heard, so nobody was silent.
CREATE TABLE ingest_outages (
    shard       smallint NOT NULL,
    started_at  timestamptz NOT NULL,                   -- by the clock of the stream, as events.occurred_at
    ended_at    timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, ended_at),
    CHECK (started_at < ended_at)
);
CREATE TRIGGER append_only BEFORE UPDATE ON ingest_outages FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE ingest_outages IS 'Times in which no event was taken for a shard, appended when they were over. About no person.';

-- What the sweep last saw, for a Redis that has forgotten it. Those who are already there begin now: until the first tier that
-- says so, nobody knows.
CREATE TABLE ingest_taken (
    shard    smallint PRIMARY KEY,
    taken_at timestamptz NOT NULL                       -- the last moment that something was known to be taken for the shard
);
INSERT INTO ingest_taken (shard, taken_at) SELECT shard, now() FROM stream_offsets;

-- Seconds of the gap that were ours; of its intervals neither `missed` nor `covered` counts one that an outage touches.
ALTER TABLE heartbeat_gaps ADD COLUMN outage_s double precision;
CREATE OR REPLACE VIEW seen_gaps AS
SELECT DISTINCT ON (g.session_id, g.started_at) g.*
FROM heartbeat_gaps g JOIN seen_sessions s ON s.id = g.session_id
ORDER BY g.session_id, g.started_at, g.revision DESC;

GRANT SELECT, INSERT ON ingest_outages TO veritas_ingest;
GRANT SELECT, INSERT, UPDATE ON ingest_taken TO veritas_ingest;
GRANT SELECT ON ingest_outages TO veritas_core;
