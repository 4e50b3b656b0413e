-- Taxonomy terms and passages: what questions are about and what they quote. Visible: of the organisation, and
-- the caller's own unless they see the whole of it.

-- name: insert_term
-- $1 id, $2 organisation, $3 kind, $4 name, $5 parent_id or null, $6 created_by, $7 created_at
-- No row comes back when the name stands already.
INSERT INTO taxonomy_terms (id, organisation_id, kind, name, parent_id, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (organisation_id, kind, lower(name)) DO NOTHING
RETURNING id, kind, name, parent_id, created_at;

-- name: find_term
-- $1 organisation, $2 kind, $3 name, any case
SELECT id, kind, name, parent_id, created_at FROM taxonomy_terms WHERE organisation_id = $1 AND kind = $2 AND lower(name) = lower($3);

-- name: count_terms
-- $1 organisation, $2 ids uuid[]. Terms belong to the whole organisation.
SELECT count(*) FROM taxonomy_terms WHERE organisation_id = $1 AND id = ANY ($2::uuid[]);

-- name: list_terms
-- $1 organisation, $2 kind or null, $3 before id or null, $4 limit
SELECT id, kind, name, parent_id, created_at
FROM taxonomy_terms
WHERE organisation_id = $1 AND ($2::text IS NULL OR kind = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC
LIMIT $4;

-- name: insert_passage
-- $1 id, $2 organisation, $3 creator, $4 created_at
INSERT INTO passages (id, organisation_id, creator_id, created_at) VALUES ($1, $2, $3, $4);

-- name: hold_passage
-- $1 id, $2 organisation, $3 user_id, $4 whole_organisation. Locks it, so that versions get one number each.
SELECT id, archived_at FROM passages WHERE id = $1 AND organisation_id = $2 AND ($4 OR creator_id = $3) FOR UPDATE;

-- name: insert_passage_version
-- $1 id, $2 passage_id, $3 title, $4 body, $5 created_by, $6 created_at. The caller holds the passage. No row comes
-- back where the newest version is just so.
INSERT INTO passage_versions (id, passage_id, version, title, body, created_by, created_at)
SELECT $1, $2::uuid, coalesce(max(version), 0) + 1, $3, $4, $5, $6 FROM passage_versions WHERE passage_id = $2
HAVING NOT EXISTS (
    SELECT FROM (SELECT * FROM passage_versions WHERE passage_id = $2 ORDER BY version DESC LIMIT 1) newest
    WHERE (newest.title, newest.body) = ($3::text, $4::text))
RETURNING id;

-- name: archive_passage
-- $1 id, $2 at. Archiving again keeps the first time.
UPDATE passages SET archived_at = coalesce(archived_at, $2) WHERE id = $1;

-- name: fetch_passage
-- $1 id, $2 organisation, $3 user_id, $4 whole_organisation, $5 version or null for the newest
SELECT p.id AS passage_id, p.creator_id, v.version, v.title, v.body, p.archived_at, v.created_at AS saved_at
FROM passages p
JOIN passage_versions v ON v.passage_id = p.id
WHERE p.id = $1 AND p.organisation_id = $2 AND ($4 OR p.creator_id = $3) AND ($5::integer IS NULL OR v.version = $5)
ORDER BY v.version DESC
LIMIT 1;

-- name: list_passages
-- $1 organisation, $2 user_id, $3 whole_organisation, $4 before id or null, $5 limit. The newest version of each.
SELECT p.id AS passage_id, p.creator_id, v.version, v.title, v.body, p.archived_at, v.created_at AS saved_at
FROM passages p
CROSS JOIN LATERAL (SELECT * FROM passage_versions WHERE passage_id = p.id ORDER BY version DESC LIMIT 1) v
WHERE p.organisation_id = $1 AND ($3 OR p.creator_id = $2) AND p.archived_at IS NULL AND ($4::uuid IS NULL OR p.id < $4)
ORDER BY p.id DESC
LIMIT $5;
