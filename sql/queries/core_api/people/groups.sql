-- Groups of people within one organisation.

-- name: list_groups
-- Newest first.
SELECT g.id, g.name, g.description, g.created_at, (SELECT count(*) FROM group_members m WHERE m.group_id = g.id) AS members
FROM groups g
WHERE g.organisation_id = :organisation AND (:cursor::uuid IS NULL OR g.id < :cursor)
ORDER BY g.id DESC
LIMIT :limit;

-- name: fetch_group
-- $1 group_id uuid, $2 organisation uuid
SELECT g.id, g.name, g.description, g.created_at, (SELECT count(*) FROM group_members m WHERE m.group_id = g.id) AS members
FROM groups g
WHERE g.id = $1 AND g.organisation_id = $2;

-- name: hold_group
-- $1 group_id uuid, $2 organisation uuid
SELECT id FROM groups WHERE id = $1 AND organisation_id = $2 FOR UPDATE;

-- name: insert_group
-- No row when the name is taken.
INSERT INTO groups (id, organisation_id, name, description, created_at)
VALUES (:id, :organisation, :name, :description, :created_at)
ON CONFLICT (organisation_id, lower(name)) DO NOTHING
RETURNING id;

-- name: update_group
-- $1 group_id uuid, $2 name or null, $3 description or null: null leaves as it is
UPDATE groups SET name = coalesce($2, name), description = coalesce($3, description) WHERE id = $1;

-- name: delete_group
-- $1 group_id uuid, which the caller holds, without its members
DELETE FROM groups WHERE id = $1;

-- name: remove_members
-- $1 group_id uuid, which the caller holds
DELETE FROM group_members WHERE group_id = $1 RETURNING user_id;

-- name: list_members
-- By user id. The page is chosen first, then its people are read.
WITH page AS (
    SELECT m.user_id, m.added_at
    FROM group_members m
    WHERE m.group_id = :group_id AND (:cursor::uuid IS NULL OR m.user_id > :cursor)
    ORDER BY m.user_id
    LIMIT :limit
)
SELECT u.id, u.email, u.username, u.full_name, u.role, u.is_active, page.added_at
FROM page
JOIN users u ON u.id = page.user_id
ORDER BY page.user_id;

-- name: find_members
-- $1 organisation uuid, $2 ids uuid[]. Those of them who belong to the organisation.
SELECT id FROM users WHERE organisation_id = $1 AND id = ANY ($2::uuid[]);

-- name: add_members
-- $1 group_id uuid, $2 ids uuid[], $3 added_at timestamptz. Who is a member already stays one.
INSERT INTO group_members (group_id, user_id, added_at)
SELECT $1, id, $3 FROM unnest($2::uuid[]) AS given (id)
ON CONFLICT DO NOTHING
RETURNING user_id;

-- name: remove_member
-- $1 group_id uuid, $2 user_id uuid
DELETE FROM group_members WHERE group_id = $1 AND user_id = $2 RETURNING user_id;
