-- Attempts: one candidate, one exam, once.

-- name: insert_attempt
-- $1 id uuid, $2 exam_id uuid, $3 student uuid, $4 organisation uuid, $5 now timestamptz
-- No row comes back when the exam is not open to the student, or when they have an attempt at it already: the partial
-- unique index settles starts that come at the same moment.
INSERT INTO exam_attempts (id, exam_id, student_id, started_at, expires_at, max_score)
SELECT $1, e.id, $3, $5::timestamptz, $5::timestamptz + make_interval(mins => e.duration_minutes), e.max_score
FROM exams e
WHERE e.id = $2 AND e.organisation_id = $4 AND e.is_published
  AND NOT EXISTS (SELECT FROM exam_attempts a WHERE a.exam_id = e.id AND a.student_id = $3)
ON CONFLICT (exam_id, student_id) WHERE status = 'in_progress' DO NOTHING
RETURNING id;

-- name: find_latest_attempt
-- $1 exam_id uuid, $2 student uuid
SELECT id FROM exam_attempts WHERE exam_id = $1 AND student_id = $2 ORDER BY started_at DESC, id DESC LIMIT 1;

-- name: fetch_own_attempt
-- $1 attempt_id uuid, $2 student uuid
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, a.status, a.started_at, a.expires_at, a.completed_at,
       a.duration_seconds, a.score::float8 AS score, a.max_score::float8 AS max_score, a.percentage::float8 AS percentage,
       a.passed, e.enable_monitoring
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = $1 AND a.student_id = $2;

-- name: fetch_attempt_for_staff
-- $1 attempt_id uuid, $2 organisation uuid, $3 user_id uuid, $4 whole_organisation boolean
-- No row when the attempt's exam is not visible to the caller.
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, a.student_id, u.full_name AS student_name, a.status, a.started_at,
       a.expires_at, a.completed_at
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
JOIN users u ON u.id = a.student_id
WHERE a.id = $1 AND e.organisation_id = $2
  AND ($4 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = a.exam_id AND v.user_id = $3));

-- name: hold_own_attempt
-- $1 attempt_id uuid, $2 student uuid. Shares a lock on the row: it cannot be finalised while a session is made for it.
SELECT id, exam_id, status, expires_at FROM exam_attempts WHERE id = $1 AND student_id = $2 FOR SHARE;
