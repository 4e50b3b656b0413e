-- Observations as they are read: by who made them, and by the staff of their exam.

-- name: find_observation
-- `own`: only what the caller made. The exam's title and the form are null where the caller may not see the exam any more, or
-- it has pointed at another evaluation since; the reason to amend is null once a subject was erased.
SELECT s.id AS submission_id, s.exam_id, e.title AS exam_title, s.author_id AS observer_id, coalesce(u.full_name, '') AS observer_name,
       s.finalised_at, encode(s.content_sha256, 'hex') AS content_sha256, s.event_id,
       observation_state(s.id) AS state, s.amends, (SELECT n.id FROM submissions n WHERE n.amends = s.id) AS amended_by,
       CASE WHEN s.amends IS NOT NULL AND s.content <> '' THEN convert_from(s.content, 'UTF8')::json ->> 'amendment_reason' END
           AS amendment_reason,
       (s.version_snapshot ->> 'evaluation_version_id')::uuid AS evaluation_version_id, v.paper AS form,
       c.revision, c.points::float8 AS points, c.max_points::float8 AS max_points, c.ungraded, c.score::float8 AS score,
       c.percentage::float8 AS percentage, c.passed
FROM submissions s
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
LEFT JOIN exams e ON e.id = s.exam_id
LEFT JOIN users u ON u.id = s.author_id
LEFT JOIN evaluation_versions v ON v.id = (s.version_snapshot ->> 'evaluation_version_id')::uuid
WHERE s.id = :id AND s.kind = 'observation' AND s.organisation_id = :organisation
  AND CASE WHEN :own THEN s.author_id = :user_id
           ELSE :sees_organisation OR EXISTS (SELECT FROM exam_viewers w WHERE w.exam_id = s.exam_id AND w.user_id = :user_id) END;

-- name: list_observed_items
-- $1 submission_id
SELECT position, question_id, kind, response, points::float8 AS points, max_points::float8 AS max_points
FROM submission_items
WHERE submission_id = $1
ORDER BY position;

-- name: list_observed_subjects
-- $1 submission_id. The name is null of whom the caller may not see any more.
SELECT b.subject_id AS id, b.kind, coalesce(u.full_name, n.name) AS full_name
FROM submission_subjects b
LEFT JOIN users u ON u.id = b.subject_id AND b.kind = 'user'
LEFT JOIN subjects n ON n.id = b.subject_id AND b.kind = 'entity'
WHERE b.submission_id = $1
ORDER BY b.subject_id;

-- name: list_evidence_links
-- $1 submission_id. With what was attached to those that it amends.
WITH RECURSIVE chain AS (
    SELECT id, amends FROM submissions WHERE id = $1
    UNION ALL
    SELECT s.id, s.amends FROM chain c JOIN submissions s ON s.id = c.amends
)
SELECT l.evidence_id, l.position, l.submission_id
FROM chain c
JOIN submission_evidence l ON l.submission_id = c.id
ORDER BY l.evidence_id;

-- name: list_observation_reviews
-- $1 submission_id. A reviewer who is no longer to be seen has no name.
SELECT r.number, r.verdict, r.reason, r.reviewed_by, coalesce(u.full_name, '') AS reviewer_name, r.reviewed_at
FROM observation_reviews r
LEFT JOIN users u ON u.id = r.reviewed_by
WHERE r.submission_id = $1
ORDER BY r.number;

-- name: list_observations_of_exam
-- The caller may see the exam; `own`: only what they made. Newest first.
SELECT * FROM shown_observations s
WHERE s.exam_id = :exam_id AND (NOT :own OR s.observer_id = :user_id)
  AND (:state::text IS NULL OR s.state = :state)
  AND (:observer::uuid IS NULL OR s.observer_id = :observer)
  AND (:subject::uuid IS NULL
       OR EXISTS (SELECT FROM submission_subjects b WHERE b.submission_id = s.submission_id AND b.subject_id = :subject))
  AND (:cursor::uuid IS NULL OR s.submission_id < :cursor)
ORDER BY s.submission_id DESC
LIMIT :limit;

-- name: list_own_observations
-- Newest first.
SELECT * FROM shown_observations s
WHERE s.observer_id = :user_id AND (:exam::uuid IS NULL OR s.exam_id = :exam)
  AND (:state::text IS NULL OR s.state = :state)
  AND (:subject::uuid IS NULL
       OR EXISTS (SELECT FROM submission_subjects b WHERE b.submission_id = s.submission_id AND b.subject_id = :subject))
  AND (:cursor::uuid IS NULL OR s.submission_id < :cursor)
ORDER BY s.submission_id DESC
LIMIT :limit;
