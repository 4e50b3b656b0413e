-- Observations: submissions of kind 'observation', made by an observer about candidates.

-- name: hold_observable
-- $1 exam_id, $2 organisation, $3 observer. No row where the exam was not granted to them. Holds it: what scores rest on
-- does not change before the commit.
SELECT e.id, e.is_published, e.evaluation_version_id, e.max_score::text AS max_score, e.passing_score::text AS passing_score
FROM exams e
WHERE e.id = $1 AND e.organisation_id = $2 AND EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = $3)
FOR KEY SHARE OF e;

-- name: count_subjects
-- $1 organisation, $2 ids uuid[]
SELECT count(*) FROM users WHERE organisation_id = $1 AND id = ANY ($2::uuid[]) AND role = 'student';

-- name: insert_observation
-- $1 id, $2 organisation, $3 exam_id, $4 observer, $5 idempotency_key, $6 body_sha256, $7 version_snapshot as JSON text,
-- $8 content bytea, $9 content_sha256, $10 event_id, $11 finalised_at
INSERT INTO submissions (id, kind, organisation_id, exam_id, author_id, submitted_by, idempotency_key, body_sha256,
                         version_snapshot, content, content_sha256, event_id, finalised_at)
VALUES ($1, 'observation', $2, $3, $4, 'observer', $5, $6, $7::text::jsonb, $8, $9, $10, $11);

-- name: insert_parts
-- $1 submission_id, $2 finalised_at, $3 subject_ids uuid[]; items: $4 positions int[], $5 question_ids uuid[],
-- $6 question_version_ids uuid[], $7 kinds text[], $8 responses as JSON text[], null: not answered, $9 points text[], null: waits
-- for a grader, $10 max_points text[]; the first score: $11 scoring_version, $12 item_points as JSON text, $13 points text,
-- $14 max_points text, $15 ungraded, $16 score text or null, $17 percentage text or null, $18 passed or null
-- A statement after the submission's own, which row security must see.
WITH subjects AS (
    INSERT INTO submission_subjects (submission_id, subject_id, kind)
    SELECT $1, subject_id, 'user' FROM unnest($3::uuid[]) AS given (subject_id)
), items AS (
    INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, saved_at, points,
                                  max_points)
    SELECT $1, position, question_id, question_version_id, kind, response::jsonb,
           CASE WHEN response IS NOT NULL THEN $2::timestamptz END, points::numeric, max_points::numeric
    FROM unnest($4::integer[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[])
        AS given (position, question_id, question_version_id, kind, response, points, max_points)
)
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_at)
VALUES ($1, 1, $11, $12::text::jsonb, $13::text::numeric, $14::text::numeric, $15, $16::text::numeric, $17::text::numeric, $18,
        'finalised', $2);

-- name: find_by_key
-- $1 observer, $2 idempotency_key
SELECT id AS submission_id, exam_id, finalised_at, encode(content_sha256, 'hex') AS content_sha256, event_id, body_sha256
FROM submissions
WHERE author_id = $1 AND idempotency_key = $2 AND kind = 'observation';

-- name: fetch_own
-- $1 submission_id, $2 observer
SELECT id AS submission_id, exam_id, finalised_at, encode(content_sha256, 'hex') AS content_sha256, event_id,
       convert_from(content, 'UTF8') AS content
FROM submissions
WHERE id = $1 AND author_id = $2 AND kind = 'observation';
