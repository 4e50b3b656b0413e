-- Attempts: one candidate, one exam, once.

-- name: find_startable
-- $1 exam_id uuid, $2 organisation uuid, $3 student uuid
-- The exam whether published or not, and the student's latest attempt at it: one that runs goes on after all else closes.
SELECT e.id, e.is_published, e.duration_minutes, e.enable_monitoring,
       EXISTS (SELECT FROM restricted_exams s WHERE s.exam_id = e.id) AS is_restricted,
       a.id AS attempt_id, a.status, a.expires_at
FROM exams e
LEFT JOIN LATERAL (
    SELECT id, status, expires_at FROM exam_attempts
    WHERE exam_id = e.id AND student_id = $3
    ORDER BY started_at DESC, id DESC LIMIT 1
) a ON true
WHERE e.id = $1 AND e.organisation_id = $2;

-- name: insert_attempt
-- `mode`: monitoring that the policy demands, 0 for none; the proctor session of that mode is opened with the attempt. No
-- row comes back when the exam was closed meanwhile, or when the student has as many attempts as they may, or one that runs:
-- the unique indexes settle starts that come at the same moment. The lock keeps what scores rest on from changing between
-- this statement's look at it and the commit.
WITH begun AS (
    INSERT INTO exam_attempts (id, exam_id, student_id, started_at, expires_at, max_score, evaluation_version_id, attempt_number,
                               policy)
    SELECT :id, e.id, :student, :started_at::timestamptz, :expires_at::timestamptz, e.max_score, e.evaluation_version_id,
           a.taken + 1, :policy::text::jsonb
    FROM exams e
    CROSS JOIN LATERAL (SELECT count(*)::integer AS taken FROM exam_attempts x
                        WHERE x.exam_id = e.id AND x.student_id = :student) a
    WHERE e.id = :exam_id AND e.is_published AND a.taken < :attempts_allowed
    FOR KEY SHARE OF e
    ON CONFLICT DO NOTHING
    RETURNING id, exam_id, student_id, started_at
), opened AS (
    INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
    SELECT b.id, b.exam_id, b.student_id, e.organisation_id, :mode::smallint, b.started_at
    FROM begun b
    JOIN exams e ON e.id = b.exam_id
    WHERE :mode::smallint > 0
)
SELECT id FROM begun;

-- name: find_latest_attempt
-- $1 exam_id uuid, $2 student uuid
SELECT id FROM exam_attempts WHERE exam_id = $1 AND student_id = $2 ORDER BY started_at DESC, id DESC LIMIT 1;

-- name: fetch_own_attempt
-- $1 attempt_id uuid, $2 student uuid. A void result has no score.
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, a.status, a.started_at, a.expires_at, a.completed_at,
       a.duration_seconds,
       CASE WHEN r.is_void IS NULL THEN a.score END::float8 AS score, a.max_score::float8 AS max_score,
       CASE WHEN r.is_void IS NULL THEN a.percentage END::float8 AS percentage, CASE WHEN r.is_void IS NULL THEN a.passed END AS passed,
       r.is_void IS NOT NULL AS is_void,
       coalesce((a.policy ->> 'monitoring_mode')::integer > 0, e.enable_monitoring) AS enable_monitoring, a.attempt_number, (a.policy ->> 'monitoring_mode')::integer AS monitoring_mode,
       a.submitted_by, a.paused_at, a.paused_until
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
LEFT JOIN submission_results r ON r.attempt_id = a.id AND r.is_void
WHERE a.id = $1 AND a.student_id = $2;

-- name: list_corrections
-- $1 attempt_id uuid of the asker's own, $2 whether its result is void, and has no score then. Newest first.
SELECT corrected_at, note_en, note_ar, CASE WHEN NOT $2::boolean THEN score_before END::float8 AS score_before,
       CASE WHEN NOT $2 THEN score END::float8 AS score, CASE WHEN NOT $2 THEN percentage_before END::float8 AS percentage_before,
       CASE WHEN NOT $2 THEN percentage END::float8 AS percentage, CASE WHEN NOT $2 THEN passed_before END AS passed_before,
       CASE WHEN NOT $2 THEN passed END AS passed
FROM corrections_of($1)
LIMIT 20;

-- name: fetch_attempt_for_staff
-- No row when the attempt's exam is not visible to the caller.
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, a.student_id, u.full_name AS student_name, a.status, a.started_at,
       a.expires_at, a.completed_at
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
JOIN users u ON u.id = a.student_id
WHERE a.id = :id AND e.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = a.exam_id AND v.user_id = :user_id));

-- name: hold_own_attempt
-- $1 attempt_id uuid, $2 student uuid. Shares a lock on the row: it cannot be finalised while a session is made for it.
SELECT id, exam_id, status, started_at, expires_at, evaluation_version_id, (policy ->> 'monitoring_mode')::integer AS monitoring_mode,
       paused_at, paused_until
FROM exam_attempts WHERE id = $1 AND student_id = $2 FOR SHARE;

-- name: fetch_own_paper
-- $1 attempt_id uuid, $2 student uuid. What candidates see, as text that is passed on unread; null: delivered elsewhere.
SELECT a.id AS attempt_id, a.status, a.expires_at, a.paused_at, a.paused_until, v.paper::text AS paper
FROM exam_attempts a
LEFT JOIN evaluation_versions v ON v.id = a.evaluation_version_id
WHERE a.id = $1 AND a.student_id = $2;

-- name: list_own_attempts
-- Newest first. A void result has no score.
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, e.subject, a.status, a.started_at, a.expires_at, a.completed_at,
       CASE WHEN r.is_void IS NULL THEN a.score END::float8 AS score, a.max_score::float8 AS max_score,
       CASE WHEN r.is_void IS NULL THEN a.percentage END::float8 AS percentage, CASE WHEN r.is_void IS NULL THEN a.passed END AS passed,
       r.is_void IS NOT NULL AS is_void
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
LEFT JOIN submission_results r ON r.attempt_id = a.id AND r.is_void
WHERE a.student_id = :student AND (:cursor::uuid IS NULL OR a.id < :cursor)
ORDER BY a.id DESC
LIMIT :limit;

-- name: list_own_running
-- $1 student uuid. The one that ends first comes first; one an exam is the most.
SELECT a.id AS attempt_id, a.exam_id, e.title AS exam_title, a.started_at, a.expires_at, a.paused_at, a.paused_until
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.student_id = $1 AND a.status = 'in_progress'
ORDER BY a.expires_at, a.id
LIMIT 100;

-- name: read_own_standing
-- $1 student uuid. Who they are, all attempts in numbers, and what was computed of their results, if anything.
SELECT u.id AS user_id, u.email, u.username, u.full_name, t.attempts, t.running, t.completed, t.passed, t.average_percentage,
       p.subject_scores, p.strengths, p.weaknesses, p.improvement_trend, p.as_of
FROM users u
CROSS JOIN (
    SELECT count(*) AS attempts, count(*) FILTER (WHERE a.status = 'in_progress') AS running,
           count(*) FILTER (WHERE a.status = 'completed') AS completed,
           count(*) FILTER (WHERE a.passed AND r.is_void IS NULL) AS passed,
           avg(a.percentage) FILTER (WHERE r.is_void IS NULL)::float8 AS average_percentage
    FROM exam_attempts a
    LEFT JOIN submission_results r ON r.attempt_id = a.id AND r.is_void
    WHERE a.student_id = $1
) t
LEFT JOIN own_performance p ON p.student_id = u.id
WHERE u.id = $1 AND u.is_active;
