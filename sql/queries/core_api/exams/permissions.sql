-- Which staff reach an exam that they did not create (spec.md A-4). Granting: accounts.sql, grant_exam.

-- name: find_exam
-- $1 exam_id uuid, $2 organisation uuid
SELECT id FROM exams WHERE id = $1 AND organisation_id = $2;

-- name: find_grantee
-- $1 user_id uuid, $2 organisation uuid. Only these roles have exams granted to them.
SELECT id FROM users WHERE id = $1 AND organisation_id = $2 AND role IN ('teacher', 'reviewer', 'observer');

-- name: list_permissions
-- By user id.
SELECT p.exam_id, p.teacher_id AS user_id, u.email, u.full_name, u.role, p.can_view, p.can_edit, p.can_manage_students,
       p.can_adjudicate, p.can_view_analytics, p.granted_at
FROM teacher_exam_permissions p
JOIN users u ON u.id = p.teacher_id
WHERE p.exam_id = :exam_id AND (:cursor::uuid IS NULL OR p.teacher_id > :cursor)
ORDER BY p.teacher_id
LIMIT :limit;

-- name: fetch_permission
-- $1 exam_id uuid, $2 user_id uuid
SELECT p.exam_id, p.teacher_id AS user_id, u.email, u.full_name, u.role, p.can_view, p.can_edit, p.can_manage_students,
       p.can_adjudicate, p.can_view_analytics, p.granted_at
FROM teacher_exam_permissions p
JOIN users u ON u.id = p.teacher_id
WHERE p.exam_id = $1 AND p.teacher_id = $2;

-- name: revoke_exam
-- $1 exam_id uuid, $2 user_id uuid
DELETE FROM teacher_exam_permissions WHERE exam_id = $1 AND teacher_id = $2 RETURNING teacher_id;
