-- Statements of the outbox's reader. All of them run in one transaction: what was claimed and not deleted is claimed again.

-- name: claim_facts
-- $1 rows at most. Oldest first, without those that another reader holds. Never "id > cursor": a lower id may commit later.
SELECT id, kind, resource_id::text AS resource_id, occurred_at, event_id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED;

-- name: mark_submitted
-- $1 submission ids as text. The sessions of their attempts are touched; those without events have nothing to be folded.
INSERT INTO dirty_sessions (session_id)
SELECT s.id
FROM submissions b
JOIN proctor_sessions s ON s.attempt_id = b.attempt_id
JOIN session_progress p ON p.session_id = s.id
WHERE b.id = ANY ($1::text[]::uuid[]);

-- name: mark_handed_in
-- $1 submission ids as text. The numbers of their attempts are to be computed.
INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
SELECT 'attempt', attempt_id, attempt_id, exam_id
FROM submissions
WHERE id = ANY ($1::text[]::uuid[]) AND attempt_id IS NOT NULL;

-- name: mark_abandoned
-- $1 attempt ids as text; likewise.
INSERT INTO dirty_sessions (session_id)
SELECT s.id
FROM proctor_sessions s
JOIN session_progress p ON p.session_id = s.id
WHERE s.attempt_id = ANY ($1::text[]::uuid[]);

-- name: mark_given_up
-- $1 attempt ids as text. There is nothing to project of them, but their exams and students have one more.
INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
SELECT layer, CASE layer WHEN 'exam' THEN exam_id ELSE student_id END, id, exam_id
FROM exam_attempts
CROSS JOIN (VALUES ('exam'), ('student')) l (layer)
WHERE id = ANY ($1::text[]::uuid[]);

-- name: mark_changed_exams
-- $1 exam ids as text. What is said of them, and of the subjects of their students, may be another.
INSERT INTO reporting.projection_marks (layer, key, lane)
SELECT 'exam', id, id FROM exams WHERE id = ANY ($1::text[]::uuid[])
UNION ALL
SELECT DISTINCT 'student', student_id, exam_id FROM exam_attempts
WHERE exam_id = ANY ($1::text[]::uuid[]) AND status <> 'in_progress';

-- name: delete_facts
-- $1 ids that were claimed
DELETE FROM outbox WHERE id = ANY ($1::bigint[]);

-- name: mark_enrolments
-- $1 events, $2 the submissions that they are about, as text. Each reaches an enrolment of its author's whose version names the exam
-- once, and has it judged again. Locked in the order of ids.
WITH touched AS (
    SELECT e.id, e.user_id, e.programme_id, e.version
    FROM programme_enrolments e
    WHERE e.state <> 'withdrawn'
      AND e.user_id IN (SELECT author_id FROM submissions WHERE id = ANY ($2::text[]::uuid[]))
      AND EXISTS (SELECT FROM submissions s
                  JOIN programme_requirements r ON s.exam_id = ANY (r.exam_ids)
                  WHERE s.id = ANY ($2::text[]::uuid[]) AND s.author_id = e.user_id
                    AND r.programme_id = e.programme_id AND r.version = e.version)
    ORDER BY e.id
    FOR NO KEY UPDATE OF e
), causes AS (
    INSERT INTO programme_causes (enrolment_id, event_id, submission_id, told_at)
    SELECT e.id, told.event_id, s.id, now()
    FROM unnest($1::uuid[], $2::text[]::uuid[]) AS told (event_id, submission_id)
    JOIN submissions s ON s.id = told.submission_id
    JOIN touched e ON e.user_id = s.author_id
    WHERE EXISTS (SELECT FROM programme_requirements r
                  WHERE r.programme_id = e.programme_id AND r.version = e.version AND s.exam_id = ANY (r.exam_ids))
    ON CONFLICT DO NOTHING
    RETURNING enrolment_id
)
UPDATE programme_enrolments SET due_at = now() WHERE id IN (SELECT enrolment_id FROM causes);
