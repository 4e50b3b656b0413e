-- Observations: submissions of kind 'observation', made by an observer about candidates and things.

-- name: hold_observable
-- $1 exam_id, $2 organisation, $3 observer. No row where the exam was not granted to them. Holds it: what scores rest on
-- does not change before the commit.
SELECT e.id, e.is_published, e.evaluation_version_id, e.max_score::text AS max_score, e.passing_score::text AS passing_score
FROM exams e
WHERE e.id = $1 AND e.organisation_id = $2 AND EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = $3)
FOR KEY SHARE OF e;

-- name: list_subject_kinds
-- $1 organisation, $2 ids uuid[], $3 the observation that is amended, or null: whom it names may be named again.
SELECT u.id, 'user' AS kind
FROM users u
WHERE u.organisation_id = $1 AND u.id = ANY ($2::uuid[])
  AND (u.role = 'student' OR EXISTS (SELECT FROM submission_subjects b WHERE b.submission_id = $3 AND b.subject_id = u.id))
UNION ALL
SELECT n.id, 'entity'
FROM subjects n
WHERE n.organisation_id = $1 AND n.id = ANY ($2::uuid[])
  AND (n.is_active OR EXISTS (SELECT FROM submission_subjects b WHERE b.submission_id = $3 AND b.subject_id = n.id));

-- name: hold_evidence
-- $1 exam_id, $2 observer, $3 ids. What may be attached: the observer's own of this exam, confirmed, of no observation yet, and not
-- gone by policy, as it does not meanwhile.
SELECT e.id, encode(e.sha256, 'hex') AS sha256
FROM evidence e
WHERE e.id = ANY ($3::bigint[]) AND e.exam_id = $1 AND e.uploader_id = $2 AND e.session_id IS NULL AND e.status = 2
  AND e.gone_at IS NULL AND NOT EXISTS (SELECT FROM submission_evidence l WHERE l.evidence_id = e.id)
FOR KEY SHARE OF e;

-- name: insert_observation
INSERT INTO submissions (id, kind, organisation_id, exam_id, author_id, submitted_by, amends, idempotency_key,
                         body_sha256, version_snapshot, content, content_sha256, event_id, finalised_at)
VALUES (:id, 'observation', :organisation, :exam_id, :observer_id, 'observer', :amends, :idempotency_key,
        :body_sha256, :version_snapshot::text::jsonb, :content, :content_sha256, :event_id, :finalised_at);

-- name: insert_parts
-- Items: arrays, one place an item; `responses` as JSON, null: not answered; `item_points`, null: waits for a grader. The
-- first score: from `scoring_version` on. A statement after the submission's own, which row security must see.
WITH subjects AS (
    INSERT INTO submission_subjects (submission_id, subject_id, kind)
    SELECT :submission_id, subject_id, kind
    FROM unnest(:subject_ids::uuid[], :subject_kinds::text[]) AS given (subject_id, kind)
), attached AS (
    INSERT INTO submission_evidence (submission_id, evidence_id, position)
    SELECT :submission_id, evidence_id, position
    FROM unnest(:evidence_ids::bigint[], :evidence_positions::integer[]) AS given (evidence_id, position)
), items AS (
    INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, saved_at, points,
                                  max_points)
    SELECT :submission_id, position, question_id, question_version_id, kind, response::jsonb,
           CASE WHEN response IS NOT NULL THEN :finalised_at::timestamptz END, points::numeric, max_points::numeric
    FROM unnest(:positions::integer[], :question_ids::uuid[], :question_version_ids::uuid[], :kinds::text[], :responses::text[],
                :item_points::text[], :item_max_points::text[])
        AS given (position, question_id, question_version_id, kind, response, points, max_points)
)
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_at, remediation_id, given_points, item_max_points)
VALUES (:submission_id, 1, :scoring_version, :points_by_item::text::jsonb, :points::text::numeric, :max_points::text::numeric,
        :ungraded, :score::text::numeric, :percentage::text::numeric, :passed,
        'finalised', :finalised_at, :remediation_id, :given_points::text::jsonb, :reweighted::text::jsonb);

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
