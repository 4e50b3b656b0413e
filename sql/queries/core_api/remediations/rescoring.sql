-- Submissions as a remediation meets them, a batch at a time, and what it makes of them.

-- name: list_batch
-- Those that follow, by exam and id; without those that were scored by the remediation's own key from the first.
SELECT s.exam_id, s.id, s.attempt_id
FROM exams e
JOIN submissions s ON s.exam_id = e.id
WHERE e.evaluation_version_id = :version AND (s.exam_id, s.id) > (:after_exam::uuid, :after_submission::uuid)
  AND NOT EXISTS (SELECT FROM submission_scores f WHERE f.submission_id = s.id AND f.revision = 1 AND f.remediation_id = :remediation)
ORDER BY s.exam_id, s.id
LIMIT :limit;

-- name: lock_attempts
-- $1 ids uuid[]. Whoever grades one of them waits, or is waited for.
SELECT FROM exam_attempts WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: read_batch
-- $1 submission ids uuid[], $2 positions integer[] of items whose answers are asked for. By exam and id. `gone`: of answers in words
-- that are kept no longer, the points as they stand and of how many, as `given` has them.
SELECT s.id AS submission_id, s.exam_id, s.attempt_id, s.author_id, s.organisation_id, s.kind, c.revision, c.item_points,
       CASE WHEN s.attempt_id IS NULL THEN coalesce(e.max_score, 100) ELSE coalesce(a.max_score, 100) END::text AS max_score,
       e.passing_score::text AS passing_score, c.points::text AS points, c.max_points::text AS max_points, c.score::text AS score,
       c.percentage::text AS percentage, c.passed, coalesce(c.given_points, given_points(s.id)) AS given,
       coalesce(n.responses, '{}') AS responses, coalesce(n.gone, '{}') AS gone,
       EXISTS (SELECT FROM submission_results r WHERE r.submission_id = s.id AND r.is_void) AS is_void
FROM submissions s
JOIN exams e ON e.id = s.exam_id
LEFT JOIN exam_attempts a ON a.id = s.attempt_id
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(i.position, i.response) AS responses,
           jsonb_object_agg(i.position, jsonb_build_array(c.item_points ->> i.position::text,
                                                          coalesce(c.item_max_points ->> i.position::text, i.max_points::text)))
               FILTER (WHERE s.content = '' AND i.response ->> 'text' LIKE 'erased-%' AND c.item_points ->> i.position::text IS NOT NULL)
               AS gone
    FROM submission_items i
    WHERE i.submission_id = s.id AND i.position = ANY ($2::integer[]) AND i.response IS NOT NULL
) n ON true
WHERE s.id = ANY ($1::uuid[])
ORDER BY s.exam_id, s.id;

-- name: read_authors
-- $1 submission ids uuid[]
SELECT s.id AS submission_id, u.full_name AS author_name FROM submissions s JOIN users u ON u.id = s.author_id WHERE s.id = ANY ($1::uuid[]);

-- name: find_exam_of
-- $1 submission
SELECT exam_id FROM submissions WHERE id = $1;

-- name: list_exams
-- $1 evaluation_version_id
SELECT id AS exam_id, title FROM exams WHERE evaluation_version_id = $1 ORDER BY id;

-- name: list_claimed
-- $1 evaluation_version_id. What open claims are about, one row a claim.
SELECT c.submission_id FROM exams e JOIN claims c ON c.exam_id = e.id WHERE e.evaluation_version_id = $1 AND c.is_open;

-- name: find_in_force
-- $1 evaluation_version_id. The newest remediation whose key counts, or null; nobody is held up.
SELECT id FROM remediations WHERE evaluation_version_id = $1 AND number IS NOT NULL ORDER BY number DESC LIMIT 1;

-- name: find_former
-- $1 remediation. The one before it, or null.
SELECT o.id
FROM remediations r
JOIN remediations o ON o.evaluation_version_id = r.evaluation_version_id AND o.number = r.number - 1
WHERE r.id = $1;

-- name: is_applying
-- $1 evaluation_version_id
SELECT EXISTS (SELECT FROM remediations WHERE evaluation_version_id = $1 AND status = 'applying');

-- name: list_open
-- Those that are being applied, longest first.
SELECT p.remediation_id
FROM remediation_progress p
JOIN remediations r ON r.id = p.remediation_id
WHERE NOT p.is_done
ORDER BY r.applied_at, r.id;

-- name: hold_progress
-- $1 remediation. No row where another process is at it, or it is done.
SELECT p.remediation_id, p.submissions, p.rescored, p.after_exam, p.after_submission, r.evaluation_version_id, r.organisation_id,
       r.applied_by, r.reason
FROM remediation_progress p
JOIN remediations r ON r.id = p.remediation_id
WHERE p.remediation_id = $1 AND NOT p.is_done
FOR UPDATE OF p SKIP LOCKED;

-- name: insert_rescored
-- Arrays, one place a submission: the next revision of each score, that it was made, and the attempt's outcome.
WITH given AS (
    SELECT * FROM unnest(:submissions::uuid[], :attempts::uuid[], :revisions::integer[], :item_points::text[], :points::text[],
                         :max_points::text[], :ungraded::integer[], :scores::text[], :percentages::text[], :passes::boolean[],
                         :given_points::text[], :changed::boolean[])
        AS g (submission_id, attempt_id, revision, item_points, points, max_points, ungraded, score, percentage, passed,
              given_points, is_changed)
), scored AS (
    INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                                   percentage, passed, reason, scored_by, scored_at, remediation_id, given_points, item_max_points)
    SELECT submission_id, revision, :scoring_version, item_points::jsonb, points::numeric, max_points::numeric, ungraded,
           score::numeric, percentage::numeric, passed, :reason, :scored_by, :scored_at, :remediation, given_points::jsonb,
           :reweighted::text::jsonb
    FROM given
), marked AS (
    INSERT INTO remediated_submissions (remediation_id, submission_id, revision, is_changed)
    SELECT :remediation, submission_id, revision, is_changed FROM given
)
UPDATE exam_attempts a
SET score = g.score::numeric, percentage = g.percentage::numeric, passed = g.passed
FROM given g
WHERE a.id = g.attempt_id;

-- name: move_progress
UPDATE remediation_progress
SET rescored = rescored + :rescored, changed = changed + :changed, now_passed = now_passed + :now_passed,
    now_failed = now_failed + :now_failed, after_exam = :after_exam, after_submission = :after_submission
WHERE remediation_id = :remediation;

-- name: end_progress
-- $1 remediation
UPDATE remediation_progress SET is_done = true WHERE remediation_id = $1;

-- name: complete_remediation
-- $1 remediation, $2 at
UPDATE remediations SET status = 'applied', completed_at = $2 WHERE id = $1;

-- name: list_remediated
-- Whose points a remediation has changed, as they were and as it left them; by submission.
SELECT m.submission_id, s.exam_id, s.attempt_id, s.author_id, u.full_name AS author_name, b.points::float8 AS points_before,
       c.points::float8 AS points, b.max_points::float8 AS max_points_before, c.max_points::float8 AS max_points,
       b.score::float8 AS score_before, c.score::float8 AS score, b.percentage::float8 AS percentage_before,
       c.percentage::float8 AS percentage, b.passed AS passed_before, c.passed,
       EXISTS (SELECT FROM submission_results r WHERE r.submission_id = m.submission_id AND r.is_void) AS is_void
FROM remediated_submissions m
JOIN submissions s ON s.id = m.submission_id
JOIN users u ON u.id = s.author_id
JOIN submission_scores c ON c.submission_id = m.submission_id AND c.revision = m.revision
JOIN submission_scores b ON b.submission_id = m.submission_id AND b.revision = m.revision - 1
WHERE m.remediation_id = :remediation AND m.is_changed AND (:cursor::uuid IS NULL OR m.submission_id > :cursor)
ORDER BY m.submission_id
LIMIT :limit;
