-- People and groups in bulk, from a school's files: a statement a kind of row, however many rows.

-- name: find_people
-- `sources` and `folded` addresses, as accounts.fold_emails has them: whoever of the organisation is in either list. The lists
-- are hashed, where = ANY would compare each person with each of thousands.
SELECT u.id, u.source_id, lower(u.email) AS folded, u.full_name, u.role, u.is_active,
       coalesce(s.enrollment_id, '') AS enrollment_id, coalesce(s.cohort, '') AS cohort
FROM users u
LEFT JOIN student_profiles s ON s.user_id = u.id
WHERE u.organisation_id = :organisation
  AND (u.source_id IN (SELECT unnest(:sources::text[])) OR lower(u.email) IN (SELECT unnest(:folded::text[])));

-- name: find_classes
-- Groups of the organisation of one of these sourcedIds, or with one of these names, folded as addresses are.
SELECT id, name, lower(name) AS folded, source_id
FROM groups
WHERE organisation_id = :organisation
  AND (source_id IN (SELECT unnest(:sources::text[])) OR lower(name) IN (SELECT unnest(:folded::text[])));

-- name: find_memberships
-- $1 group_ids uuid[], $2 user_ids uuid[]
SELECT group_id, user_id FROM group_members WHERE group_id = ANY ($1::uuid[]) AND user_id IN (SELECT unnest($2::uuid[]));

-- name: insert_people
-- A row for each that was made: not where the address, or the sourcedId within the organisation, is taken meanwhile.
-- In the order of addresses: two organisations that insert the same ones at once never wait for one another in a circle.
INSERT INTO users (organisation_id, id, email, username, full_name, role, source_id, is_verified, created_at)
SELECT :organisation, id, email, username, full_name, role, nullif(source_id, ''), true, :created_at
FROM unnest(:ids::uuid[], :emails::text[], :usernames::text[], :full_names::text[], :roles::text[], :sources::text[])
    AS given (id, email, username, full_name, role, source_id)
ORDER BY lower(email)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: update_people
-- An empty sourcedId leaves as it is.
UPDATE users u SET full_name = given.full_name, source_id = coalesce(nullif(given.source_id, ''), u.source_id)
FROM unnest(:ids::uuid[], :full_names::text[], :sources::text[]) AS given (id, full_name, source_id)
WHERE u.id = given.id AND u.organisation_id = :organisation;

-- name: upsert_student_profiles
-- `new_ids` of rows that are made; an empty text leaves as it is.
INSERT INTO student_profiles AS s (id, user_id, enrollment_id, cohort)
SELECT id, user_id, enrollment_id, cohort
FROM unnest(:new_ids::uuid[], :user_ids::uuid[], :enrollment_ids::text[], :cohorts::text[]) AS given (id, user_id, enrollment_id, cohort)
ON CONFLICT (user_id) DO UPDATE
SET enrollment_id = coalesce(nullif(excluded.enrollment_id, ''), s.enrollment_id),
    cohort = coalesce(nullif(excluded.cohort, ''), s.cohort);

-- name: insert_classes
-- A row for each that was made: not where its name, or its sourcedId, is taken meanwhile.
INSERT INTO groups (organisation_id, id, name, source_id, created_at)
SELECT :organisation, id, name, nullif(source_id, ''), :created_at
FROM unnest(:ids::uuid[], :names::text[], :sources::text[]) AS given (id, name, source_id)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: update_classes
UPDATE groups g SET name = given.name, source_id = coalesce(nullif(given.source_id, ''), g.source_id)
FROM unnest(:ids::uuid[], :names::text[], :sources::text[]) AS given (id, name, source_id)
WHERE g.id = given.id AND g.organisation_id = :organisation;

-- name: insert_memberships
-- `groups` and `users` are pairwise; who is a member already stays one.
INSERT INTO group_members (group_id, user_id, added_at)
SELECT group_id, user_id, :added_at FROM unnest(:groups::uuid[], :users::uuid[]) AS given (group_id, user_id)
ORDER BY group_id, user_id
ON CONFLICT DO NOTHING
RETURNING group_id, user_id;

-- name: delete_memberships
-- $1 group_ids uuid[], $2 user_ids uuid[], pairwise
DELETE FROM group_members m USING unnest($1::uuid[], $2::uuid[]) AS given (group_id, user_id)
WHERE m.group_id = given.group_id AND m.user_id = given.user_id
RETURNING m.group_id, m.user_id;
