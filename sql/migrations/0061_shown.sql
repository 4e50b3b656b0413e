-- What several lists show of assignments and observations, said once; each row as whoever asks may see it.

CREATE VIEW shown_assignments WITH (security_invoker = true) AS
SELECT a.id, a.exam_id, a.user_id, a.group_id, coalesce(u.full_name, g.name, '') AS name, a.opens_at, a.closes_at,
       a.duration_minutes, a.extra_minutes, a.attempts_allowed, a.monitoring_mode, a.rule_exemptions, a.created_by, a.created_at,
       a.revoked_at
FROM assignments a
LEFT JOIN users u ON u.id = a.user_id
LEFT JOIN groups g ON g.id = a.group_id;
GRANT SELECT ON shown_assignments TO veritas_core;

-- Of the subjects the first five.
CREATE VIEW shown_observations WITH (security_invoker = true) AS
SELECT s.id AS submission_id, s.exam_id, s.author_id AS observer_id, coalesce(u.full_name, '') AS observer_name, s.finalised_at,
       (SELECT count(*) FROM submission_subjects b WHERE b.submission_id = s.id) AS subject_count,
       ARRAY(SELECT b.subject_id FROM submission_subjects b WHERE b.submission_id = s.id ORDER BY b.subject_id LIMIT 5) AS subject_ids,
       ARRAY(SELECT p.full_name FROM submission_subjects b LEFT JOIN users p ON p.id = b.subject_id
             WHERE b.submission_id = s.id ORDER BY b.subject_id LIMIT 5) AS subject_names,
       c.ungraded, c.score::float8 AS score, c.percentage::float8 AS percentage, c.passed
FROM submissions s
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
LEFT JOIN users u ON u.id = s.author_id
WHERE s.kind = 'observation';
GRANT SELECT ON shown_observations TO veritas_core;
