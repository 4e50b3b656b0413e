-- Submissions: durable, immutable, one per attempt.

-- name: hold_attempt
-- $1 attempt_id, $2 student or null for the sweep. Locks the attempt: whoever saves an answer or makes a session waits.
SELECT a.id, a.exam_id, a.student_id, a.status, a.started_at, a.expires_at, a.evaluation_version_id, a.attempt_number, a.policy,
       e.organisation_id, a.max_score::text AS max_score, e.passing_score::text AS passing_score, a.paused_at, a.paused_until
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = $1 AND ($2::uuid IS NULL OR a.student_id = $2)
FOR UPDATE OF a;

-- name: hold_expired
-- $1 attempt_id, $2 now. As above, for the sweep; no row when another process is at it, or has been.
SELECT a.id, a.exam_id, a.student_id, a.status, a.started_at, a.expires_at, a.evaluation_version_id, a.attempt_number, a.policy,
       e.organisation_id, a.max_score::text AS max_score, e.passing_score::text AS passing_score, a.paused_at, a.paused_until
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = $1 AND a.status = 'in_progress' AND a.expires_at <= $2
FOR UPDATE OF a SKIP LOCKED;

-- name: list_expired
-- $1 now, $2 after expires_at, $3 after id, $4 limit. Longest expired first.
SELECT id, expires_at AS at FROM exam_attempts
WHERE status = 'in_progress' AND expires_at <= $1 AND (expires_at, id) > ($2::timestamptz, $3::uuid)
ORDER BY expires_at, id
LIMIT $4;

-- name: list_saved
-- $1 attempt_id, which the caller holds
SELECT question_id, client_seq, response, saved_at FROM attempt_answers WHERE attempt_id = $1;

-- name: find_by_key
-- $1 author, $2 idempotency_key
SELECT attempt_id, body_sha256 FROM submissions WHERE author_id = $1 AND idempotency_key = $2;

-- name: insert_submission
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, idempotency_key, body_sha256,
                         version_snapshot, content, content_sha256, event_id, finalised_at)
VALUES (:id, 'attempt', :organisation, :exam_id, :attempt_id, :author_id, :submitted_by, :idempotency_key, :body_sha256,
        :version_snapshot::text::jsonb, :content, :content_sha256, :event_id, :finalised_at);

-- name: insert_parts
-- Items: arrays, one place an item; `item_points`, null: waits for a grader. The first score: from `scoring_version` on. A
-- statement after the submission's own, which row security must see. The caller holds the attempt, so that its answers are
-- the ones that `list_saved` gave.
WITH items AS (
    INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, client_seq, saved_at,
                                  points, max_points)
    SELECT :submission_id, given.position, given.question_id, given.question_version_id, given.kind, w.response, w.client_seq,
           w.saved_at,
           given.points::numeric, given.max_points::numeric
    FROM unnest(:positions::integer[], :question_ids::uuid[], :question_version_ids::uuid[], :kinds::text[], :item_points::text[],
                :item_max_points::text[])
        AS given (position, question_id, question_version_id, kind, points, max_points)
    LEFT JOIN attempt_answers w ON w.attempt_id = :attempt_id AND w.question_id = given.question_id
), subject AS (
    INSERT INTO submission_subjects (submission_id, subject_id, kind) VALUES (:submission_id, :author_id, 'user')
)
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_at, remediation_id, given_points, item_max_points)
VALUES (:submission_id, 1, :scoring_version, :points_by_item::text::jsonb, :points::text::numeric, :max_points::text::numeric,
        :ungraded, :score::text::numeric, :percentage::text::numeric, :passed,
        'finalised', :finalised_at, :remediation_id, :given_points::text::jsonb, :reweighted::text::jsonb);

-- name: complete_attempt
-- The score's scale is the attempt's own max_score. Its proctor sessions end with it (spec.md P-2), and their ids come back.
WITH completed AS (
    UPDATE exam_attempts
    SET status = 'completed', submitted_by = :submitted_by, completed_at = :at,
        duration_seconds = greatest(0, extract(epoch FROM least(:at, expires_at) - started_at) - paused_seconds
                                       - coalesce(extract(epoch FROM least(:at, paused_until) - paused_at), 0))::integer,
        score = :score::text::numeric, percentage = :percentage::text::numeric, passed = :passed,
        submission_data = :submission_data::text::jsonb
    WHERE id = :id
)
UPDATE proctor_sessions SET status = 2, ended_at = greatest(:at, started_at) WHERE attempt_id = :id AND status = 1 RETURNING id;

-- name: abandon_attempt
-- $1 attempt_id, $2 at, $3 by whom. Its proctor sessions end with it, and their ids come back.
WITH abandoned AS (
    UPDATE exam_attempts
    SET status = 'abandoned', submitted_by = $3, completed_at = $2,
        duration_seconds = greatest(0, extract(epoch FROM least($2, expires_at) - started_at) - paused_seconds
                                       - coalesce(extract(epoch FROM least($2, paused_until) - paused_at), 0))::integer
    WHERE id = $1
)
UPDATE proctor_sessions SET status = 2, ended_at = greatest($2, started_at) WHERE attempt_id = $1 AND status = 1 RETURNING id;

-- name: fetch_receipt
-- $1 attempt_id, $2 author or null
SELECT id AS submission_id, attempt_id, submitted_by, finalised_at, encode(content_sha256, 'hex') AS content_sha256, event_id,
       idempotency_key, body_sha256
FROM submissions
WHERE attempt_id = $1 AND ($2::uuid IS NULL OR author_id = $2);

-- name: fetch_content
-- $1 attempt_id, $2 author. Null: it is kept no longer.
SELECT nullif(convert_from(content, 'UTF8'), '') AS content FROM submissions WHERE attempt_id = $1 AND author_id = $2;
