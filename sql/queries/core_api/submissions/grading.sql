-- Grading: what staff see of a submission, and the revisions of its score.

-- name: find_graded
-- No row when the submission's exam is not visible to the caller.
SELECT s.id AS submission_id, s.exam_id, s.attempt_id, s.author_id, s.submitted_by, s.finalised_at, a.evaluation_version_id,
       EXISTS (SELECT FROM submission_results r WHERE r.submission_id = s.id AND r.is_void) AS is_void,
       coalesce(a.max_score, 100)::text AS max_score, e.passing_score::text AS passing_score,
       :sees_organisation OR e.creator_id = :user_id OR coalesce(p.can_edit, false) AS can_edit
FROM submissions s
JOIN exam_attempts a ON a.id = s.attempt_id
JOIN exams e ON e.id = s.exam_id
LEFT JOIN teacher_exam_permissions p ON p.exam_id = s.exam_id AND p.teacher_id = :user_id
WHERE s.id = :id AND s.organisation_id = :organisation AND (:sees_organisation OR e.creator_id = :user_id OR p.can_view);

-- name: lock_graded
-- $1 attempt_id. Revisions get one number each.
SELECT FROM exam_attempts WHERE id = $1 FOR UPDATE;

-- name: list_graded_items
-- $1 submission_id. `awaits` marks what no machine scores; `max_points` are those that count now.
SELECT i.position, i.question_id, i.kind, i.response, i.points::float8 AS points,
       coalesce((c.item_max_points ->> i.position::text)::numeric, i.max_points)::float8 AS max_points, i.points IS NULL AS awaits
FROM submission_items i
CROSS JOIN LATERAL (SELECT item_max_points FROM submission_scores WHERE submission_id = i.submission_id
                    ORDER BY revision DESC LIMIT 1) c
WHERE i.submission_id = $1
ORDER BY i.position;

-- name: fetch_given
-- $1 submission_id. Points that people gave, with out of how many, by position.
SELECT given_points($1);

-- name: list_scores
-- $1 submission_id, $2 limit. Newest revision first.
SELECT revision, scoring_version, item_points, points::float8 AS points, max_points::float8 AS max_points, ungraded,
       score::float8 AS score, percentage::float8 AS percentage, passed, reason, scored_by, scored_at
FROM submission_scores
WHERE submission_id = $1
ORDER BY revision DESC
LIMIT $2;

-- name: insert_score
-- The next revision; the caller holds the attempt.
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_by, scored_at, remediation_id, given_points, item_max_points)
SELECT :submission_id::uuid, coalesce(max(revision), 0) + 1, :scoring_version, :points_by_item::text::jsonb,
       :points::text::numeric, :max_points::text::numeric, :ungraded,
       :score::text::numeric, :percentage::text::numeric, :passed, :reason, :scored_by, :scored_at,
       :remediation_id, :given_points::text::jsonb, :reweighted::text::jsonb
FROM submission_scores
WHERE submission_id = :submission_id;

-- name: set_outcome
UPDATE exam_attempts SET score = :score::text::numeric, percentage = :percentage::text::numeric, passed = :passed WHERE id = :id;

-- name: list_submissions
-- `awaiting`: those that wait for a grader only. The caller may see the exam. Newest first.
SELECT s.id AS submission_id, s.attempt_id, s.author_id, u.full_name AS author_name, s.submitted_by, s.finalised_at, c.revision,
       c.ungraded, c.score::float8 AS score, c.percentage::float8 AS percentage, c.passed,
       EXISTS (SELECT FROM submission_results r WHERE r.submission_id = s.id AND r.is_void) AS is_void
FROM submissions s
JOIN users u ON u.id = s.author_id
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
WHERE s.exam_id = :exam_id AND s.kind <> 'observation' AND (NOT :awaiting OR c.ungraded > 0)
  AND (:cursor::uuid IS NULL OR s.id < :cursor)
ORDER BY s.id DESC
LIMIT :limit;
