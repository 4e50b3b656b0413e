-- What people are beyond their account.

-- name: fetch_profile
-- $1 user_id uuid, $2 organisation uuid. Inactive people are not found. Scores and risk stay with staff (spec.md, decision 6).
SELECT u.id, u.organisation_id, u.email, u.username, u.full_name, u.role, u.is_verified, u.last_login, u.created_at,
       u.metadata::json AS metadata,
       coalesce(s.enrollment_id, '') AS enrollment_id, coalesce(s.cohort, '') AS cohort,
       coalesce(t.title, '') AS title, coalesce(t.department, '') AS department
FROM users u
LEFT JOIN student_profiles s ON s.user_id = u.id
LEFT JOIN teacher_profiles t ON t.user_id = u.id
WHERE u.id = $1 AND u.organisation_id = $2 AND u.is_active;

-- name: update_account
-- $1 user_id uuid, $2 full_name or null, $3 username or null, $4 metadata as JSON text or null: null leaves as it is
UPDATE users SET full_name = coalesce($2, full_name), username = coalesce($3, username),
                 metadata = coalesce($4::text::jsonb, metadata)
WHERE id = $1;

-- name: upsert_teacher_profile
-- $1 id uuid of a new row, $2 user_id uuid, $3 title or null, $4 department or null: null leaves as it is
INSERT INTO teacher_profiles AS t (id, user_id, title, department) VALUES ($1, $2, coalesce($3, ''), coalesce($4, ''))
ON CONFLICT (user_id) DO UPDATE SET title = coalesce($3, t.title), department = coalesce($4, t.department);

-- name: upsert_student_profile
-- $1 id uuid of a new row, $2 user_id uuid, $3 enrollment_id or null, $4 cohort or null: null leaves as it is
INSERT INTO student_profiles AS s (id, user_id, enrollment_id, cohort) VALUES ($1, $2, coalesce($3, ''), coalesce($4, ''))
ON CONFLICT (user_id) DO UPDATE SET enrollment_id = coalesce($3, s.enrollment_id), cohort = coalesce($4, s.cohort);

-- name: fetch_student_profile
-- $1 user_id uuid, $2 organisation uuid. Everything V keeps of a student, what follows from their exams where it is computed; no row
-- for anybody else.
SELECT u.id AS user_id, coalesce(s.enrollment_id, '') AS enrollment_id, coalesce(s.cohort, '') AS cohort,
       r.cumulative_integrity AS cumulative_integrity_score, r.cumulative_lmi,
       coalesce(r.attempt_count, 0) AS total_exams_attempted, coalesce(m.total_passed, 0) AS total_exams_passed,
       r.current_dropout_risk, coalesce(r.flagged_count > 0, false) AS flagged_for_review
FROM users u
LEFT JOIN student_profiles s ON s.user_id = u.id
LEFT JOIN reporting.student_risk_summary r ON r.student_id = u.id
LEFT JOIN reporting.performance_metrics m ON m.student_id = u.id
WHERE u.id = $1 AND u.organisation_id = $2 AND u.role = 'student';

-- name: fetch_password
-- $1 user_id uuid, $2 organisation uuid
SELECT password_hash FROM users WHERE id = $1 AND organisation_id = $2 AND is_active;

-- name: set_password
-- $1 user_id uuid, $2 new hash, $3 the hash that was checked. No row where it was changed meanwhile.
UPDATE users SET password_hash = $2 WHERE id = $1 AND is_active AND password_hash = $3 RETURNING id;
