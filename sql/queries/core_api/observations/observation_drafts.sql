-- Drafts of observations, each its observer's alone.

-- name: find_observable
-- $1 exam_id, $2 organisation, $3 observer. No row where the exam was not granted to them.
SELECT e.id FROM exams e
WHERE e.id = $1 AND e.organisation_id = $2 AND EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = $3);

-- name: find_own_observation
-- $1 submission_id, $2 observer, $3 exam_id
SELECT id FROM submissions WHERE id = $1 AND author_id = $2 AND exam_id = $3 AND kind = 'observation';

-- name: count_drafts
-- $1 observer
SELECT count(*) FROM observation_drafts WHERE observer_id = $1;

-- name: insert_draft
INSERT INTO observation_drafts (id, organisation_id, exam_id, observer_id, amends, content, created_at, updated_at)
VALUES (:id, :organisation, :exam_id, :observer_id, :amends, :content::text::jsonb, :now, :now);

-- name: fetch_draft
-- $1 draft_id, $2 observer
SELECT id, exam_id, amends, version, content AS shown, created_at, updated_at
FROM observation_drafts WHERE id = $1 AND observer_id = $2;

-- name: hold_draft
-- $1 draft_id, $2 observer
SELECT id, exam_id, amends, version, content::text AS content
FROM observation_drafts WHERE id = $1 AND observer_id = $2 FOR UPDATE;

-- name: list_drafts
-- Newest first.
SELECT id, exam_id, amends, version, created_at, updated_at
FROM observation_drafts
WHERE observer_id = :observer_id AND (:exam::uuid IS NULL OR exam_id = :exam) AND (:cursor::uuid IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: update_draft
-- $1 draft_id, $2 content as JSON text, $3 now
UPDATE observation_drafts SET content = $2::text::jsonb, version = version + 1, updated_at = $3 WHERE id = $1;

-- name: delete_draft
-- $1 draft_id, $2 observer
DELETE FROM observation_drafts WHERE id = $1 AND observer_id = $2 RETURNING id;
