-- What is observed and is no person.

-- name: list_subjects
-- Newest first.
SELECT id, name, category, description, is_active, created_at
FROM subjects
WHERE organisation_id = :organisation AND (:category::text IS NULL OR lower(category) = lower(:category))
  AND (:active::boolean IS NULL OR is_active = :active)
  AND (:cursor::uuid IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: fetch_subject
-- $1 subject_id uuid, $2 organisation uuid
SELECT id, name, category, description, is_active, created_at FROM subjects WHERE id = $1 AND organisation_id = $2;

-- name: hold_subject
-- $1 subject_id uuid, $2 organisation uuid
SELECT id FROM subjects WHERE id = $1 AND organisation_id = $2 FOR UPDATE;

-- name: insert_subject
-- No row when the organisation has one of that category and name.
INSERT INTO subjects (id, organisation_id, name, category, description, created_by, created_at)
VALUES (:id, :organisation, :name, :category, :description, :created_by, :created_at)
ON CONFLICT (organisation_id, lower(category), lower(name)) DO NOTHING
RETURNING id;

-- name: update_subject
-- Null leaves as it is.
UPDATE subjects
SET name = coalesce(:name, name), category = coalesce(:category, category), description = coalesce(:description, description),
    is_active = coalesce(:is_active, is_active)
WHERE id = :id;

-- name: find_entities
-- For observers, in the order of names. `q`: somewhere in the name.
SELECT id, name AS full_name, category
FROM subjects
WHERE organisation_id = :organisation AND is_active
  AND (:q::text IS NULL OR strpos(folded(name), folded(:q)) > 0)
  AND (:cursor::uuid IS NULL
       OR (lower(name), id) > (SELECT lower(name), id FROM subjects WHERE id = :cursor AND organisation_id = :organisation))
ORDER BY lower(name), id
LIMIT :limit;
