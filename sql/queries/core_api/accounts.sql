-- Organisations, people, sign-in.

-- name: ping
-- Tells that the connection answers.
SELECT 1;

-- name: find_organisation
-- $1 name text. Names are not unique: the oldest wins, so that seeding twice finds what it made.
SELECT id FROM organisations WHERE name = $1 ORDER BY created_at, id LIMIT 1;

-- name: insert_organisation
-- $1 id uuid, $2 name text, $3 created_at timestamptz
INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, $3);

-- name: fold_emails
-- $1 emails text[]. What each is looked up by, in order: which letters are one another's small ones is the database's to say.
SELECT ARRAY(SELECT lower(email) FROM unnest($1::text[]) WITH ORDINALITY AS given (email, n) ORDER BY n);

-- name: upsert_users
-- $1 organisation uuid, $2 ids uuid[], $3 emails text[], $4 usernames text[], $5 full_names text[], $6 roles text[],
-- $7 password_hashes text[] (null: no password), $8 created_at timestamptz
-- One row per e-mail, in no particular order. Somebody who is there already keeps id, role and organisation, and takes a
-- new password when one is given; a row of another organisation is left alone and does not come back.
INSERT INTO users (organisation_id, id, email, username, full_name, role, password_hash, is_verified, created_at)
SELECT $1, given.id, given.email, given.username, given.full_name, given.role, given.password_hash, true, $8
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS given (id, email, username, full_name, role, password_hash)
ON CONFLICT (lower(email)) DO UPDATE
SET password_hash = coalesce(excluded.password_hash, users.password_hash)
WHERE users.organisation_id = excluded.organisation_id
RETURNING id, email, lower(email) AS folded, role;

-- name: grant_exam
-- $1 teacher_id uuid, $2 exam_id uuid, $3 can_view, $4 can_edit, $5 can_view_analytics
INSERT INTO teacher_exam_permissions (teacher_id, exam_id, can_view, can_edit, can_view_analytics)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (teacher_id, exam_id) DO UPDATE
SET can_view = excluded.can_view, can_edit = excluded.can_edit, can_view_analytics = excluded.can_view_analytics;

-- name: find_credentials
-- $1 email text, any case. Inactive people come back too: the caller spends the same time on them.
SELECT id, organisation_id, email, username, full_name, role, password_hash, is_active, token_generation
FROM users
WHERE lower(email) = lower($1);

-- name: fetch_user
-- $1 user_id uuid, $2 organisation uuid. Inactive people are not found.
SELECT id, organisation_id, email, username, full_name, role, is_verified, last_login, created_at
FROM users
WHERE id = $1 AND organisation_id = $2 AND is_active;

-- name: find_students
-- $1 organisation uuid, $2 ids uuid[]. Active students of the organisation.
SELECT id FROM users WHERE organisation_id = $1 AND role = 'student' AND is_active AND id = ANY ($2::uuid[]);
