-- Questions and their versions. Visible: of the organisation, and the caller's own unless they see the whole of it.

-- name: insert_questions
INSERT INTO questions (id, organisation_id, creator_id, created_at)
SELECT id, :organisation, :created_by, :created_at FROM unnest(:ids::uuid[]) AS given (id);

-- name: insert_first_versions
-- One place a question that was just made.
INSERT INTO question_versions (id, question_id, version, kind, content, key, points, passage_id, created_by, created_at)
SELECT id, question_id, 1, kind, content::jsonb, key::jsonb, points, passage_id, :created_by, :created_at
FROM unnest(:ids::uuid[], :questions::uuid[], :kinds::text[], :contents::text[], :keys::text[], :points::float8[], :passages::uuid[])
    AS given (id, question_id, kind, content, key, points, passage_id);

-- name: hold_question
-- Locks it, so that versions get one number each.
SELECT id, archived_at FROM questions
WHERE id = :id AND organisation_id = :organisation AND (:sees_organisation OR creator_id = :user_id) FOR UPDATE;

-- name: insert_question_version
-- The caller holds the question. No row comes back where the newest version is just so.
INSERT INTO question_versions (id, question_id, version, kind, content, key, points, passage_id, created_by, created_at)
SELECT :id, :question_id::uuid, coalesce(max(version), 0) + 1, :kind, :content::text::jsonb, :key::text::jsonb, :points::float8,
       :passage_id, :created_by, :created_at
FROM question_versions
WHERE question_id = :question_id
HAVING NOT EXISTS (
    SELECT FROM (SELECT * FROM question_versions WHERE question_id = :question_id ORDER BY version DESC LIMIT 1) newest
    WHERE (newest.kind, newest.content, newest.key, newest.points, newest.passage_id)
       IS NOT DISTINCT FROM (:kind::text, :content::text::jsonb, :key::text::jsonb, :points::float8::numeric(8, 2),
                             :passage_id::uuid))
RETURNING id;

-- name: clear_terms
-- $1 question_id, $2 ids to keep uuid[]
DELETE FROM question_terms WHERE question_id = $1 AND NOT term_id = ANY ($2::uuid[]) RETURNING term_id;

-- name: insert_terms
-- $1 question ids uuid[], $2 term ids uuid[], pairwise
INSERT INTO question_terms (question_id, term_id) SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING
RETURNING term_id;

-- name: archive_question
-- $1 id, $2 at. Archiving again keeps the first time.
UPDATE questions SET archived_at = coalesce(archived_at, $2) WHERE id = $1;

-- name: fetch_question
-- `version`: null for the newest.
SELECT q.id AS question_id, q.creator_id, v.version, v.id AS question_version_id, v.kind, v.content, v.key,
       v.points::float8 AS points, v.passage_id, q.archived_at, v.created_at AS saved_at,
       ARRAY(SELECT term_id FROM question_terms t WHERE t.question_id = q.id ORDER BY term_id) AS term_ids
FROM questions q
JOIN question_versions v ON v.question_id = q.id
WHERE q.id = :id AND q.organisation_id = :organisation AND (:sees_organisation OR q.creator_id = :user_id)
  AND (:version::integer IS NULL OR v.version = :version)
ORDER BY v.version DESC
LIMIT 1;

-- name: list_questions
-- The newest version of each that is not archived.
SELECT q.id AS question_id, q.creator_id, v.version, v.id AS question_version_id, v.kind, v.content, v.key,
       v.points::float8 AS points, v.passage_id, q.archived_at, v.created_at AS saved_at,
       ARRAY(SELECT term_id FROM question_terms t WHERE t.question_id = q.id ORDER BY term_id) AS term_ids
FROM questions q
CROSS JOIN LATERAL (SELECT * FROM question_versions WHERE question_id = q.id ORDER BY version DESC LIMIT 1) v
WHERE q.organisation_id = :organisation AND (:sees_organisation OR q.creator_id = :user_id) AND q.archived_at IS NULL
  AND (:kind::text IS NULL OR v.kind = :kind)
  AND (:term_id::uuid IS NULL OR EXISTS (SELECT FROM question_terms t WHERE t.question_id = q.id AND t.term_id = :term_id))
  AND (:cursor::uuid IS NULL OR q.id < :cursor)
ORDER BY q.id DESC
LIMIT :limit;
