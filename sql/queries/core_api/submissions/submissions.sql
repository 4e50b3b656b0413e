-- Submissions: durable, immutable, one per attempt.

-- name: hold_attempt
-- $1 attempt_id, $2 student or null for the sweep. Locks the attempt: whoever saves an answer or makes a session waits.
SELECT a.id, a.exam_id, a.student_id, a.status, a.started_at, a.expires_at, a.evaluation_version_id, a.attempt_number, a.policy,
       e.organisation_id, a.max_score::text AS max_score, e.passing_score::text AS passing_score
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = $1 AND ($2::uuid IS NULL OR a.student_id = $2)
FOR UPDATE OF a;

-- name: hold_expired
-- $1 attempt_id, $2 now. As above, for the sweep; no row when another process is at it, or has been.
SELECT a.id, a.exam_id, a.student_id, a.status, a.started_at, a.expires_at, a.evaluation_version_id, a.attempt_number, a.policy,
       e.organisation_id, a.max_score::text AS max_score, e.passing_score::text AS passing_score
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = $1 AND a.status = 'in_progress' AND a.expires_at <= $2
FOR UPDATE OF a SKIP LOCKED;

-- name: list_expired
-- $1 now, $2 after expires_at, $3 after id, $4 limit. Longest expired first.
SELECT id, expires_at FROM exam_attempts
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
-- $1 id, $2 organisation, $3 exam_id, $4 attempt_id, $5 author, $6 submitted_by, $7 idempotency_key or null,
-- $8 body_sha256 or null, $9 version_snapshot as JSON text, $10 content bytea, $11 content_sha256, $12 event_id, $13 finalised_at
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, idempotency_key, body_sha256,
                         version_snapshot, content, content_sha256, event_id, finalised_at)
VALUES ($1, 'attempt', $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12, $13);

-- name: insert_parts
-- $1 submission_id, $2 attempt_id, $3 author, $4 finalised_at; items: $5 positions int[], $6 question_ids uuid[],
-- $7 question_version_ids uuid[], $8 kinds text[], $9 points text[], null: waits for a grader, $10 max_points text[]; the first
-- score: $11 scoring_version, $12 item_points as JSON text, $13 points text, $14 max_points text, $15 ungraded, $16 score text or
-- null, $17 percentage text or null, $18 passed or null
-- A statement after the submission's own, which row security must see. The caller holds the attempt, so that its answers are the
-- ones that `list_saved` gave.
WITH items AS (
    INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, client_seq, saved_at,
                                  points, max_points)
    SELECT $1, given.position, given.question_id, given.question_version_id, given.kind, w.response, w.client_seq, w.saved_at,
           given.points::numeric, given.max_points::numeric
    FROM unnest($5::integer[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[])
        AS given (position, question_id, question_version_id, kind, points, max_points)
    LEFT JOIN attempt_answers w ON w.attempt_id = $2 AND w.question_id = given.question_id
), subject AS (
    INSERT INTO submission_subjects (submission_id, subject_id, kind) VALUES ($1, $3, 'user')
)
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_at)
VALUES ($1, 1, $11, $12::text::jsonb, $13::text::numeric, $14::text::numeric, $15, $16::text::numeric, $17::text::numeric, $18,
        'finalised', $4);

-- name: insert_score
-- $1 submission_id, $2 scoring_version, $3 item_points as JSON text, $4 points text, $5 max_points text, $6 ungraded,
-- $7 score text or null, $8 percentage text or null, $9 passed or null, $10 reason, $11 scored_by or null, $12 scored_at
-- The next revision; the caller holds the attempt.
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_by, scored_at)
SELECT $1::uuid, coalesce(max(revision), 0) + 1, $2, $3::text::jsonb, $4::text::numeric, $5::text::numeric, $6,
       $7::text::numeric, $8::text::numeric, $9, $10, $11, $12
FROM submission_scores
WHERE submission_id = $1;

-- name: complete_attempt
-- $1 attempt_id, $2 submitted_by, $3 at, $4 score text or null, $5 percentage text or null, $6 passed or null,
-- $7 submission_data as JSON text. The score's scale is the attempt's own max_score. Its proctor sessions end with it
-- (spec.md P-2), and their ids come back.
WITH completed AS (
    UPDATE exam_attempts
    SET status = 'completed', submitted_by = $2, completed_at = $3,
        duration_seconds = greatest(0, extract(epoch FROM least($3, expires_at) - started_at))::integer,
        score = $4::text::numeric, percentage = $5::text::numeric, passed = $6, submission_data = $7::text::jsonb
    WHERE id = $1
)
UPDATE proctor_sessions SET status = 2, ended_at = greatest($3, started_at) WHERE attempt_id = $1 AND status = 1 RETURNING id;

-- name: abandon_attempt
-- $1 attempt_id, $2 at. Its proctor sessions end with it, and their ids come back.
WITH abandoned AS (
    UPDATE exam_attempts
    SET status = 'abandoned', submitted_by = 'expiry', completed_at = $2,
        duration_seconds = greatest(0, extract(epoch FROM expires_at - started_at))::integer
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
-- $1 attempt_id, $2 author
SELECT convert_from(content, 'UTF8') FROM submissions WHERE attempt_id = $1 AND author_id = $2;
