-- Results from elsewhere: the exam they are of, whose they are, which are there, and what is written of them.

-- name: hold_organisation
-- $1 organisation uuid. Of two imports at once the second has no row: it waits with nothing of ours in its hands.
SELECT id FROM organisations WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: find_imported_exams
-- Made by an import and not archived; two at most.
SELECT id, evaluation_version_id, max_score::text AS max_score, passing_score::text AS passing_score, duration_minutes
FROM exams
WHERE organisation_id = :organisation AND title = :title AND metadata ? 'imported' AND archived_at IS NULL
  AND evaluation_version_id IS NOT NULL
ORDER BY id
LIMIT 2;

-- name: find_candidates
-- One place a candidate: what the file calls them, and the address of the account that an import makes for them. That account
-- comes first, then whoever has the sourcedId, then whoever has the address.
SELECT DISTINCT ON (label) label, id, role
FROM (
    SELECT g.label, u.id, u.role, 1 AS rank
    FROM unnest(:labels::text[], :addresses::text[]) AS g (label, address)
    JOIN users u ON lower(u.email) = g.address AND u.organisation_id = :organisation
    UNION ALL
    SELECT g.label, u.id, u.role, 2
    FROM unnest(:labels::text[]) AS g (label)
    JOIN users u ON u.source_id = g.label AND u.organisation_id = :organisation
    UNION ALL
    SELECT g.label, u.id, u.role, 3
    FROM unnest(:labels::text[]) AS g (label)
    JOIN users u ON lower(u.email) = lower(g.label) AND u.organisation_id = :organisation
) found
ORDER BY label, rank;

-- name: find_groups
-- One place a name. The organisation's group that is called so; case does not count.
SELECT n.label, g.id
FROM unnest(:names::text[]) AS n (label)
JOIN groups g ON g.organisation_id = :organisation AND lower(g.name) = lower(n.label);

-- name: insert_candidates
-- Accounts that nobody can sign in to.
INSERT INTO users (organisation_id, id, email, username, full_name, role, is_active, is_verified, created_at)
SELECT :organisation, id, address, username, full_name, 'student', false, false, :created_at
FROM unnest(:ids::uuid[], :addresses::text[], :usernames::text[], :full_names::text[]) AS given (id, address, username, full_name)
ORDER BY address;

-- name: list_known
-- $1 authors uuid[], $2 keys text[], pairwise. What was imported under them before.
SELECT s.author_id, s.idempotency_key, s.body_sha256
FROM unnest($1::uuid[], $2::text[]) AS given (author_id, key)
JOIN submissions s ON s.author_id = given.author_id AND s.idempotency_key = given.key;

-- name: insert_attempts
-- One place an attempt; it is over. `policies`: none held.
INSERT INTO exam_attempts (id, exam_id, student_id, status, submitted_by, started_at, expires_at, completed_at, duration_seconds,
                           max_score, score, percentage, passed, evaluation_version_id, attempt_number, policy, submission_data)
SELECT id, :exam_id, student_id, 'completed', 'import', started_at, finalised_at, finalised_at, duration_seconds, :max_score::text::numeric,
       score::numeric, percentage::numeric, passed, :evaluation_version_id, attempt_number, :policy::text::jsonb,
       jsonb_build_object('submission_id', submission_id)
FROM unnest(:ids::uuid[], :submission_ids::uuid[], :authors::uuid[], :started::timestamptz[], :finalised::timestamptz[],
            :durations::integer[], :scores::text[], :percentages::text[], :passes::boolean[], :numbers::integer[])
    AS given (id, submission_id, student_id, started_at, finalised_at, duration_seconds, score, percentage, passed, attempt_number);

-- name: insert_submissions
-- One place a submission. Row security must see them before their parts: a statement of its own.
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, idempotency_key, body_sha256,
                         version_snapshot, content, content_sha256, event_id, finalised_at)
SELECT id, 'imported', :organisation, :exam_id, attempt_id, author_id, 'import', key, body_sha256, snapshot::jsonb, content,
       sha256(content), event_id, finalised_at
FROM unnest(:ids::uuid[], :attempt_ids::uuid[], :authors::uuid[], :keys::text[], :bodies::bytea[], :snapshots::text[],
            :contents::bytea[], :event_ids::uuid[], :finalised::timestamptz[])
    AS given (id, attempt_id, author_id, key, body_sha256, snapshot, content, event_id, finalised_at);

-- name: insert_items
-- One place an item of a submission; what the form says of it is taken from there, by its position.
INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, client_seq, saved_at,
                              points, max_points, seconds)
SELECT given.submission_id, given.position, f.question_id, f.question_version_id, f.kind, given.response::jsonb, given.client_seq,
       given.saved_at, given.points::numeric, f.max_points::numeric, given.seconds
FROM unnest(:submission_ids::uuid[], :positions::integer[], :responses::text[], :client_seqs::bigint[], :saved::timestamptz[],
            :points::text[], :seconds::float8[])
    AS given (submission_id, position, response, client_seq, saved_at, points, seconds)
JOIN unnest(:form_positions::integer[], :question_ids::uuid[], :question_version_ids::uuid[], :kinds::text[], :max_points::text[])
    AS f (position, question_id, question_version_id, kind, max_points) USING (position);

-- name: insert_parts
-- Subjects, first scores and earlier versions of texts: arrays, one place each.
WITH subjects AS (
    INSERT INTO submission_subjects (submission_id, subject_id, kind)
    SELECT id, author_id, 'user' FROM unnest(:ids::uuid[], :authors::uuid[]) AS given (id, author_id)
), drafts AS (
    INSERT INTO submission_drafts (submission_id, position, version, text, saved_at)
    SELECT * FROM unnest(:draft_submissions::uuid[], :draft_positions::integer[], :draft_versions::integer[], :draft_texts::text[],
                         :draft_times::timestamptz[])
)
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_at, remediation_id, given_points, item_max_points)
SELECT id, 1, :scoring_version, item_points::jsonb, points::numeric, max_points::numeric, ungraded, score::numeric,
       percentage::numeric, passed, 'imported', :scored_at, :remediation_id, given_points::jsonb, :reweighted::text::jsonb
FROM unnest(:ids::uuid[], :item_points::text[], :total_points::text[], :total_max::text[], :ungraded::integer[], :scores::text[],
            :percentages::text[], :passes::boolean[], :given_points::text[])
    AS given (id, item_points, points, max_points, ungraded, score, percentage, passed, given_points);
