-- As before, and until when the session is or was in quarantine: whoever looks at it the day after is told as well, for what was
-- set aside is in dead_letters for good.
CREATE OR REPLACE VIEW session_overview WITH (security_invoker = false) AS
SELECT s.id, s.attempt_id, s.exam_id, e.title AS exam_title, s.candidate_id, u.full_name AS candidate_name,
       s.organisation_id, s.mode, s.status, s.started_at, s.ended_at, s.ip_address, s.browser_name, s.heartbeat_missed_count,
       coalesce(p.total_events, 0) AS total_events, coalesce(p.total_violations, 0) AS total_violations,
       coalesce(p.through_seq, 0) AS stored_through, p.first_event_at, p.last_event_at, p.last_heartbeat_at, p.clock_offset_us,
       (SELECT max(q.ends_at) FROM session_quarantines q WHERE q.session_id = s.id) AS quarantined_until
FROM seen_sessions s
JOIN exams e ON e.id = s.exam_id
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id;
