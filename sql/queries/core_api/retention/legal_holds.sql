-- Legal holds of an organisation.

-- name: list_holds
-- Newest first.
SELECT id, kind, coalesce(user_id, exam_id, claim_id) AS target_id, reason, status, placed_by, placed_at, lifted_by, lifted_at, lift_reason
FROM legal_holds
WHERE organisation_id = :organisation AND (:status::text IS NULL OR status = :status) AND (:cursor::uuid IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: fetch_hold
-- $1 hold, $2 organisation
SELECT id, kind, coalesce(user_id, exam_id, claim_id) AS target_id, reason, status, placed_by, placed_at, lifted_by, lifted_at, lift_reason
FROM legal_holds WHERE id = $1 AND organisation_id = $2;

-- name: lock_hold
-- $1 hold, $2 organisation
SELECT id FROM legal_holds WHERE id = $1 AND organisation_id = $2 FOR NO KEY UPDATE;

-- name: find_person
-- $1 person, $2 organisation
SELECT id FROM users WHERE id = $1 AND organisation_id = $2;

-- name: find_exam
-- $1 exam, $2 organisation
SELECT id FROM exams WHERE id = $1 AND organisation_id = $2;

-- name: find_claim
-- $1 claim, $2 organisation
SELECT id FROM claims WHERE id = $1 AND organisation_id = $2;

-- name: insert_hold
INSERT INTO legal_holds (id, organisation_id, kind, user_id, exam_id, claim_id, reason, placed_by, placed_at)
VALUES (:id, :organisation, :kind, :user_id, :exam_id, :claim_id, :reason, :placed_by, :placed_at);

-- name: lift_hold
-- $1 hold, which the caller has locked, $2 by whom, $3 when, $4 why
UPDATE legal_holds SET status = 'lifted', lifted_by = $2, lifted_at = $3, lift_reason = $4 WHERE id = $1;
