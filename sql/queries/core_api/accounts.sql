-- Organisations, people, sign-in.

-- name: ping
-- Tells that the connection answers.
SELECT 1;

-- name: fold_emails
-- $1 emails text[]. What each is looked up by, in order: which letters are one another's small ones is the database's to say.
SELECT ARRAY(SELECT lower(email) FROM unnest($1::text[]) WITH ORDINALITY AS given (email, n) ORDER BY n);

-- name: grant_exam
INSERT INTO teacher_exam_permissions (teacher_id, exam_id, can_view, can_edit, can_manage_students, can_adjudicate, can_view_analytics)
VALUES (:teacher_id, :exam_id, :can_view, :can_edit, :can_manage_students, :can_adjudicate,
        :can_view_analytics)
ON CONFLICT (teacher_id, exam_id) DO UPDATE
SET can_view = excluded.can_view, can_edit = excluded.can_edit, can_manage_students = excluded.can_manage_students,
    can_adjudicate = excluded.can_adjudicate, can_view_analytics = excluded.can_view_analytics;

-- name: find_credentials
-- $1 email text, any case. Inactive people come back too: the caller spends the same time on them.
SELECT id, organisation_id, email, username, full_name, role, password_hash, is_active, token_generation
FROM users
WHERE lower(email) = lower($1);

-- name: find_students
-- $1 organisation uuid, $2 ids uuid[]. Active students of the organisation.
SELECT id FROM users WHERE organisation_id = $1 AND role = 'student' AND is_active AND id = ANY ($2::uuid[]);
