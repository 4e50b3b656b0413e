-- An exam while it runs, as its staff watch it (spec.md U-1).

-- The latest event of a session that is no heartbeat: a wall shows it beside each candidate, and never looks into the events.
ALTER TABLE session_progress
    ADD COLUMN last_other_seq integer,
    ADD COLUMN last_other_type smallint,
    ADD COLUMN last_other_name text,                    -- of type 0 only
    ADD COLUMN last_other_at timestamptz;
COMMENT ON COLUMN session_progress.last_other_seq IS 'Of the latest event that is no heartbeat; null until there is one.';

-- Those that run now, however many of the exam's are over.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX proctor_sessions_live ON proctor_sessions (exam_id, id) WHERE status = 1;

-- For staff alone: of scores a candidate sees nothing (spec.md, decision 6).
CREATE VIEW live_sessions AS
SELECT s.id, s.attempt_id, s.exam_id, s.organisation_id, u.full_name AS candidate_name, s.status, s.started_at,
       coalesce(p.total_violations, 0) AS total_violations, p.last_heartbeat_at, p.last_other_seq, p.last_other_type,
       p.last_other_name, p.last_other_at, r.risk_score::float8 AS risk_score, r.peak_risk_score::float8 AS peak_risk_score,
       r.risk_level
FROM seen_sessions s
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN reporting.session_risk r ON r.session_id = s.id
WHERE (SELECT asker_view()) IN ('staff', 'organisation', 'system');
GRANT SELECT ON live_sessions TO veritas_core;
