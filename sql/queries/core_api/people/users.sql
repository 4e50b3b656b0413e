-- People as an admin sees them: of the admin's own organisation only.

-- name: list_users
-- `q`: found anywhere in e-mail, username or name, any case. Newest first.
SELECT u.id, u.organisation_id, u.email, u.username, u.full_name, u.role, u.is_active, u.is_verified, u.last_login, u.created_at
FROM users u
WHERE u.organisation_id = :organisation AND (:cursor::uuid IS NULL OR u.id < :cursor)
  AND (:role::text IS NULL OR u.role = :role) AND (:is_active::boolean IS NULL OR u.is_active = :is_active)
  AND (:group::uuid IS NULL OR EXISTS (SELECT FROM group_members m WHERE m.group_id = :group AND m.user_id = u.id))
  AND (:q::text IS NULL OR strpos(lower(u.email || ' ' || u.username || ' ' || u.full_name), lower(:q)) > 0)
ORDER BY u.id DESC
LIMIT :limit;

-- name: fetch_managed_user
-- $1 user_id uuid, $2 organisation uuid. Locked people come back too.
SELECT id, organisation_id, email, username, full_name, role, is_active, is_verified, last_login, created_at
FROM users
WHERE id = $1 AND organisation_id = $2;

-- name: hold_organisation
-- $1 organisation uuid. Whoever takes an admin away holds it, so that two admins cannot take one another away at once; and
-- each transaction of an import, so that two of them neither wait for one another in a circle nor make the same twice.
SELECT id FROM organisations WHERE id = $1 FOR NO KEY UPDATE;

-- name: hold_user
-- $1 user_id uuid, $2 organisation uuid
SELECT id, role, is_active, is_verified, token_generation FROM users WHERE id = $1 AND organisation_id = $2 FOR NO KEY UPDATE;

-- name: count_other_admins
-- $1 organisation uuid, $2 user_id uuid. Active admins besides this user.
SELECT count(*) FROM users WHERE organisation_id = $1 AND role = 'admin' AND is_active AND id <> $2;

-- name: set_active
-- $1 user_id uuid, $2 is_active boolean. A lock voids the launch links that they made or that are for them, for good.
UPDATE users SET is_active = $2, standing = standing + (NOT $2)::integer WHERE id = $1;

-- name: set_role
-- $1 user_id uuid, $2 role text. Launch links are void as after a lock.
UPDATE users SET role = $2, standing = standing + 1 WHERE id = $1;

-- name: insert_user
-- No row comes back when the e-mail, or the username within the organisation, is taken.
INSERT INTO users (id, organisation_id, email, username, full_name, role, password_hash, is_active, is_verified, created_at)
VALUES (:id, :organisation, :email, :username, :full_name, :role, :password_hash, :is_active, :is_verified, :created_at)
ON CONFLICT DO NOTHING
RETURNING id, organisation_id, email, username, full_name, role, is_active, is_verified, last_login, created_at;

-- name: fetch_registration
-- $1 organisation uuid. Whether it takes registrations; no row where there is no such organisation.
SELECT registration_open FROM organisations WHERE id = $1;

-- name: fetch_organisation
-- $1 organisation uuid
SELECT id, name, registration_open, created_at FROM organisations WHERE id = $1;

-- name: update_organisation
-- $1 organisation uuid, $2 name text or null, $3 registration_open boolean or null: null leaves as it is
UPDATE organisations SET name = coalesce($2, name), registration_open = coalesce($3, registration_open) WHERE id = $1
RETURNING id, name, registration_open, created_at;

-- name: is_erased
-- $1 person. Whether their erasure was asked for.
SELECT EXISTS (SELECT FROM erasures WHERE person_id = $1) AS erased;
