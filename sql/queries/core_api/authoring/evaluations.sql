-- Evaluations: drafts that name questions, published versions that hold them.

-- name: insert_evaluation
-- $1 id, $2 organisation, $3 creator, $4 created_at
INSERT INTO evaluations (id, organisation_id, creator_id, created_at) VALUES ($1, $2, $3, $4);

-- name: hold_evaluation
-- Serialises who saves and publishes it: a lock on the row of its newest version would miss the one about to be made.
SELECT pg_advisory_xact_lock(hashtextextended('evaluation ' || id::text, 0)), id
FROM evaluations
WHERE id = :id AND organisation_id = :organisation AND (:sees_organisation OR creator_id = :user_id);

-- name: find_draft
-- $1 evaluation_id
SELECT id, version, title FROM evaluation_versions WHERE evaluation_id = $1 AND status = 'draft';

-- name: matches_draft
-- $1 evaluation_id, $2 title, $3 question_ids uuid[] in order, $4 points float8[]. Whether its draft is just so; no row without one.
SELECT v.title = $2 AND i.question_ids = $3::uuid[] AND i.points = $4::float8[]::numeric(8, 2)[]
FROM evaluation_versions v
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(question_id ORDER BY position), '{}') AS question_ids,
           coalesce(array_agg(points ORDER BY position), '{}') AS points
    FROM evaluation_items WHERE evaluation_version_id = v.id) i
WHERE v.evaluation_id = $1 AND v.status = 'draft';

-- name: insert_draft
-- The caller holds the evaluation.
INSERT INTO evaluation_versions (id, evaluation_id, version, title, created_by, created_at)
SELECT :id, :evaluation_id::uuid, coalesce(max(version), 0) + 1, :title, :created_by, :created_at FROM evaluation_versions
WHERE evaluation_id = :evaluation_id;

-- name: rename_draft
-- $1 evaluation_version_id, $2 title
UPDATE evaluation_versions SET title = $2 WHERE id = $1 AND status = 'draft';

-- name: clear_items
-- $1 evaluation_version_id of a draft
DELETE FROM evaluation_items WHERE evaluation_version_id = $1;

-- name: insert_items
-- $1 evaluation_version_id of a draft, $2 question_ids uuid[] in order, $3 points float8[], null for the question's own
INSERT INTO evaluation_items (evaluation_version_id, position, question_id, points)
SELECT $1, given.position, given.question_id, given.points
FROM unnest($2::uuid[], $3::float8[]) WITH ORDINALITY AS given (question_id, points, position);

-- name: count_usable_questions
SELECT count(*) FROM questions
WHERE id = ANY (:ids::uuid[]) AND organisation_id = :organisation AND (:sees_organisation OR creator_id = :user_id)
  AND archived_at IS NULL;

-- name: list_draft_items
-- $1 evaluation_version_id. With each question its newest version: what publishing would freeze.
SELECT i.position, i.question_id, v.id AS question_version_id, v.kind, v.content, v.key,
       coalesce(i.points, v.points)::text AS points, v.passage_id, q.archived_at,
       ARRAY(SELECT term_id FROM question_terms t WHERE t.question_id = q.id ORDER BY term_id) AS term_ids
FROM evaluation_items i
JOIN questions q ON q.id = i.question_id
CROSS JOIN LATERAL (SELECT * FROM question_versions WHERE question_id = q.id ORDER BY version DESC LIMIT 1) v
WHERE i.evaluation_version_id = $1
ORDER BY i.position;

-- name: list_newest_passages
-- $1 ids uuid[]. The newest version of each.
SELECT DISTINCT ON (passage_id) passage_id, version, title, body
FROM passage_versions
WHERE passage_id = ANY ($1::uuid[])
ORDER BY passage_id, version DESC;

-- name: freeze_items
-- $1 evaluation_version_id of a draft, $2 question_ids uuid[], $3 question_version_ids uuid[]
UPDATE evaluation_items i
SET question_version_id = given.question_version_id
FROM unnest($2::uuid[], $3::uuid[]) AS given (question_id, question_version_id)
WHERE i.evaluation_version_id = $1 AND i.question_id = given.question_id;

-- name: publish_version
-- `id` is the draft's.
UPDATE evaluation_versions
SET status = 'published', paper = :paper::text::jsonb, key = :key::text::jsonb, max_points = :max_points::text::numeric,
    snapshot_sha256 = :snapshot_sha256, published_at = :published_at
WHERE id = :id AND status = 'draft';

-- name: list_evaluations
-- The newest version of each.
SELECT e.id AS evaluation_id, e.creator_id, v.id AS evaluation_version_id, v.version, v.title, v.status,
       v.max_points::float8 AS max_points, v.published_at
FROM evaluations e
CROSS JOIN LATERAL (SELECT * FROM evaluation_versions WHERE evaluation_id = e.id ORDER BY version DESC LIMIT 1) v
WHERE e.organisation_id = :organisation AND (:sees_organisation OR e.creator_id = :user_id)
  AND (:cursor::uuid IS NULL OR e.id < :cursor)
ORDER BY e.id DESC
LIMIT :limit;

-- name: fetch_version
-- `version`: null for the newest. Whoever may edit an exam that points at the version sees it too.
SELECT e.id AS evaluation_id, e.creator_id, v.id AS evaluation_version_id, v.version, v.title, v.status,
       v.max_points::float8 AS max_points, v.published_at, v.paper, v.key, encode(v.snapshot_sha256, 'hex') AS snapshot_sha256
FROM evaluations e
JOIN evaluation_versions v ON v.evaluation_id = e.id
WHERE e.id = :id AND e.organisation_id = :organisation AND (:version::integer IS NULL OR v.version = :version)
  AND (:sees_organisation OR e.creator_id = :user_id
       OR EXISTS (SELECT FROM exams x
                  LEFT JOIN teacher_exam_permissions p ON p.exam_id = x.id AND p.teacher_id = :user_id
                  WHERE x.evaluation_version_id = v.id AND (x.creator_id = :user_id OR p.can_edit)))
ORDER BY v.version DESC
LIMIT 1;

-- name: list_items
-- $1 evaluation_version_id
SELECT position, question_id, points::float8 AS points FROM evaluation_items WHERE evaluation_version_id = $1 ORDER BY position;

-- name: find_usable_version
-- Published, and the caller's to use.
SELECT v.id
FROM evaluation_versions v
JOIN evaluations e ON e.id = v.evaluation_id
WHERE v.id = :id AND v.status = 'published' AND e.organisation_id = :organisation
  AND (:sees_organisation OR e.creator_id = :user_id);

-- name: find_evaluation
-- $1 evaluation_version_id
SELECT evaluation_id FROM evaluation_versions WHERE id = $1;

-- name: fetch_key
-- $1 evaluation_version_id, published
SELECT version, evaluation_id, key, snapshot_sha256 FROM evaluation_versions WHERE id = $1;

-- name: fetch_asked
-- $1 evaluation_version_id, published
SELECT paper FROM evaluation_versions WHERE id = $1;

-- name: hold_remediations
-- $1 evaluation_version_id. The newest remediation that is in force, or null; none begins before the commit.
SELECT current_remediation($1);

-- name: fetch_remediated_key
-- $1 remediation. The version's key as it stands after it.
SELECT remediated_key($1);
