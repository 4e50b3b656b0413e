-- A session whose payloads PostgreSQL refuses again and again is set aside, so that its neighbours are not tried row by row
-- for it: until `ends_at` its events go to dead_letters untried. Appended by the writer, never changed.
CREATE TABLE session_quarantines (
    session_id bigint NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT now(),
    ends_at    timestamptz NOT NULL,
    sqlstate   text NOT NULL,                           -- of the refusal that was one too many
    reason     text NOT NULL,
    PRIMARY KEY (session_id, began_at)
);
CREATE INDEX session_quarantines_ends ON session_quarantines (ends_at);
GRANT SELECT, INSERT ON session_quarantines TO veritas_ingest;

-- What stopped a shard, since when: written by its writer, cleared by the next batch that is stored.
ALTER TABLE stream_offsets
    ADD COLUMN stopped_at  timestamptz,
    ADD COLUMN stopped_why text,
    ADD CHECK ((stopped_at IS NULL) = (stopped_why IS NULL));

-- As before, and until when the session is in quarantine.
CREATE OR REPLACE VIEW session_overview WITH (security_invoker = false) AS
SELECT s.id, s.attempt_id, s.exam_id, e.title AS exam_title, s.candidate_id, u.full_name AS candidate_name,
       s.organisation_id, s.mode, s.status, s.started_at, s.ended_at, s.ip_address, s.browser_name, s.heartbeat_missed_count,
       coalesce(p.total_events, 0) AS total_events, coalesce(p.total_violations, 0) AS total_violations,
       coalesce(p.through_seq, 0) AS stored_through, p.first_event_at, p.last_event_at, p.last_heartbeat_at, p.clock_offset_us,
       (SELECT max(q.ends_at) FROM session_quarantines q WHERE q.session_id = s.id AND q.ends_at > now()) AS quarantined_until
FROM seen_sessions s
JOIN exams e ON e.id = s.exam_id
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id;
