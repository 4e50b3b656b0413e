-- Taxonomy terms and passages: what questions are about and what they quote. Visible: of the organisation, and
-- the caller's own unless they see the whole of it.

-- name: insert_term
-- No row comes back when the name stands already.
INSERT INTO taxonomy_terms (id, organisation_id, kind, name, parent_id, created_by, created_at)
VALUES (:id, :organisation, :kind, :name, :parent_id, :created_by, :created_at)
ON CONFLICT (organisation_id, kind, lower(name)) DO NOTHING
RETURNING id, kind, name, parent_id, created_at;

-- name: find_term
-- $1 organisation, $2 kind, $3 name, any case
SELECT id, kind, name, parent_id, created_at FROM taxonomy_terms WHERE organisation_id = $1 AND kind = $2 AND lower(name) = lower($3);

-- name: count_terms
-- $1 organisation, $2 ids uuid[]. Terms belong to the whole organisation.
SELECT count(*) FROM taxonomy_terms WHERE organisation_id = $1 AND id = ANY ($2::uuid[]);

-- name: list_terms
SELECT id, kind, name, parent_id, created_at
FROM taxonomy_terms
WHERE organisation_id = :organisation AND (:kind::text IS NULL OR kind = :kind) AND (:cursor::uuid IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: insert_passage
-- $1 id, $2 organisation, $3 creator, $4 created_at
INSERT INTO passages (id, organisation_id, creator_id, created_at) VALUES ($1, $2, $3, $4);

-- name: hold_passage
-- Locks it, so that versions get one number each.
SELECT id, archived_at FROM passages
WHERE id = :id AND organisation_id = :organisation AND (:sees_organisation OR creator_id = :user_id) FOR UPDATE;

-- name: insert_passage_version
-- The caller holds the passage. No row comes back where the newest version is just so.
INSERT INTO passage_versions (id, passage_id, version, title, body, created_by, created_at)
SELECT :id, :passage_id::uuid, coalesce(max(version), 0) + 1, :title, :body, :created_by, :created_at FROM passage_versions
WHERE passage_id = :passage_id
HAVING NOT EXISTS (
    SELECT FROM (SELECT * FROM passage_versions WHERE passage_id = :passage_id ORDER BY version DESC LIMIT 1) newest
    WHERE (newest.title, newest.body) = (:title::text, :body::text))
RETURNING id;

-- name: archive_passage
-- $1 id, $2 at. Archiving again keeps the first time.
UPDATE passages SET archived_at = coalesce(archived_at, $2) WHERE id = $1;

-- name: fetch_passage
-- `version`: null for the newest.
SELECT p.id AS passage_id, p.creator_id, v.version, v.title, v.body, p.archived_at, v.created_at AS saved_at
FROM passages p
JOIN passage_versions v ON v.passage_id = p.id
WHERE p.id = :id AND p.organisation_id = :organisation AND (:sees_organisation OR p.creator_id = :user_id)
  AND (:version::integer IS NULL OR v.version = :version)
ORDER BY v.version DESC
LIMIT 1;

-- name: list_passages
-- The newest version of each.
SELECT p.id AS passage_id, p.creator_id, v.version, v.title, v.body, p.archived_at, v.created_at AS saved_at
FROM passages p
CROSS JOIN LATERAL (SELECT * FROM passage_versions WHERE passage_id = p.id ORDER BY version DESC LIMIT 1) v
WHERE p.organisation_id = :organisation AND (:sees_organisation OR p.creator_id = :user_id) AND p.archived_at IS NULL
  AND (:cursor::uuid IS NULL OR p.id < :cursor)
ORDER BY p.id DESC
LIMIT :limit;
