-- Grading: what staff see of a submission, and the revisions of its score.

-- name: find_graded
-- $1 submission_id, $2 organisation, $3 user_id, $4 whole_organisation
-- No row when the submission's exam is not visible to the caller.
SELECT s.id AS submission_id, s.exam_id, s.attempt_id, s.author_id, s.submitted_by, s.finalised_at, a.evaluation_version_id,
       coalesce(a.max_score, 100)::text AS max_score, e.passing_score::text AS passing_score,
       $4 OR e.creator_id = $3 OR coalesce(p.can_edit, false) AS can_edit
FROM submissions s
JOIN exam_attempts a ON a.id = s.attempt_id
JOIN exams e ON e.id = s.exam_id
LEFT JOIN teacher_exam_permissions p ON p.exam_id = s.exam_id AND p.teacher_id = $3
WHERE s.id = $1 AND s.organisation_id = $2 AND ($4 OR e.creator_id = $3 OR p.can_view);

-- name: lock_graded
-- $1 attempt_id. Revisions get one number each.
SELECT FROM exam_attempts WHERE id = $1 FOR UPDATE;

-- name: list_graded_items
-- $1 submission_id. `awaits` marks what no machine scores.
SELECT position, question_id, kind, response, points::float8 AS points, max_points::float8 AS max_points, points IS NULL AS awaits
FROM submission_items
WHERE submission_id = $1
ORDER BY position;

-- name: list_scores
-- $1 submission_id, $2 limit. Newest revision first.
SELECT revision, scoring_version, item_points, points::float8 AS points, max_points::float8 AS max_points, ungraded,
       score::float8 AS score, percentage::float8 AS percentage, passed, reason, scored_by, scored_at
FROM submission_scores
WHERE submission_id = $1
ORDER BY revision DESC
LIMIT $2;

-- name: set_outcome
-- $1 attempt_id, $2 score text or null, $3 percentage text or null, $4 passed or null
UPDATE exam_attempts SET score = $2::text::numeric, percentage = $3::text::numeric, passed = $4 WHERE id = $1;

-- name: list_submissions
-- $1 exam_id, which the caller may see; $2 awaiting a grader only; $3 before id or null; $4 limit. Newest first.
SELECT s.id AS submission_id, s.attempt_id, s.author_id, u.full_name AS author_name, s.submitted_by, s.finalised_at, c.revision,
       c.ungraded, c.score::float8 AS score, c.percentage::float8 AS percentage, c.passed
FROM submissions s
JOIN users u ON u.id = s.author_id
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
WHERE s.exam_id = $1 AND s.kind = 'attempt' AND (NOT $2 OR c.ungraded > 0) AND ($3::uuid IS NULL OR s.id < $3)
ORDER BY s.id DESC
LIMIT $4;
