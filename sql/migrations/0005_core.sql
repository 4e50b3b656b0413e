-- Two views that the core API's statements share. They run with the rights of whoever asks, so that row security on the
-- tables beneath them holds.

-- Who may look at an exam without being an admin: its creator, and staff who were granted it (spec.md A-4).
CREATE VIEW exam_viewers WITH (security_invoker = true) AS
SELECT id AS exam_id, creator_id AS user_id FROM exams
UNION ALL
SELECT exam_id, teacher_id FROM teacher_exam_permissions WHERE can_view;

-- A proctor session as the API shows it: names joined, and what the writer has stored so far.
CREATE VIEW session_overview WITH (security_invoker = true) AS
SELECT s.id, s.attempt_id, s.exam_id, e.title AS exam_title, s.candidate_id, u.full_name AS candidate_name,
       s.organisation_id, s.mode, s.status, s.started_at, s.ended_at, s.ip_address, s.browser_name, s.heartbeat_missed_count,
       coalesce(p.total_events, 0) AS total_events, coalesce(p.total_violations, 0) AS total_violations,
       coalesce(p.through_seq, 0) AS stored_through, p.first_event_at, p.last_event_at, p.last_heartbeat_at, p.clock_offset_us
FROM proctor_sessions s
JOIN exams e ON e.id = s.exam_id
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id;

GRANT SELECT ON exam_viewers, session_overview TO veritas_core;
