-- Claims as staff handle them.

-- name: find_claim
-- No row when the claim's exam is not visible to the caller. `may_handle`: they may judge the exam; `may_settle`: and look a second
-- time, or are an admin; `had_hand`: in what the claim is about.
SELECT c.id AS claim_id, c.submission_id, c.attempt_id, c.exam_id, e.title AS exam_title, c.candidate_id,
       u.full_name AS candidate_name, c.subject, c.state, c.opened_at, c.state_at, c.deadline_at, c.acknowledged_by,
       d.raised, d.raised_by, d.raised_at, had_hand(c.id, :user_id) AS had_hand,
       :sees_organisation OR EXISTS (SELECT FROM judged_exams j WHERE j.exam_id = c.exam_id) AS may_handle,
       :sees_organisation OR EXISTS (SELECT FROM adjudicated_exams a WHERE a.exam_id = c.exam_id) AS may_settle
FROM claims c
JOIN exams e ON e.id = c.exam_id
JOIN users u ON u.id = c.candidate_id
LEFT JOIN disputes d ON d.claim_id = c.id
WHERE c.id = :id AND c.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = c.exam_id AND v.user_id = :user_id));

-- name: list_claims
-- What is due first comes first; `due_at` and `after` are of the last row before, wherever it is by now. A page of each exam of the
-- caller's, and of those the first; for who sees the whole organisation, a page of all.
WITH reached AS (
    SELECT id AS exam_id FROM exams WHERE :sees_organisation AND id = :exam_id::uuid
    UNION
    SELECT exam_id FROM exam_viewers
    WHERE NOT :sees_organisation AND user_id = :user_id AND (:exam_id::uuid IS NULL OR exam_id = :exam_id)
), wanted AS NOT MATERIALIZED (
    SELECT c.*, coalesce(c.deadline_at, c.state_at) AS due_at
    FROM claims c
    WHERE c.organisation_id = :organisation AND c.is_open = :is_open
      AND (:state::text IS NULL OR c.state = :state)
      AND (:subject::text IS NULL OR c.subject = :subject)
      AND (:due_before::timestamptz IS NULL OR c.deadline_at < :due_before)
      AND (coalesce(c.deadline_at, c.state_at), c.id) > (coalesce(:due_at::timestamptz, '-infinity'),
                                                         coalesce(:after::uuid, '00000000-0000-0000-0000-000000000000'))
), page AS MATERIALIZED (
    (SELECT w.* FROM wanted w WHERE :sees_organisation AND :exam_id::uuid IS NULL ORDER BY w.due_at, w.id LIMIT :limit)
    UNION ALL
    (SELECT w.*
     FROM reached r
     CROSS JOIN LATERAL (SELECT w.* FROM wanted w WHERE w.exam_id = r.exam_id ORDER BY w.due_at, w.id LIMIT :limit) w
     ORDER BY w.due_at, w.id
     LIMIT :limit)
)
SELECT c.id AS claim_id, c.submission_id, c.attempt_id, c.exam_id, e.title AS exam_title, c.candidate_id,
       u.full_name AS candidate_name, c.subject, c.state, c.opened_at, c.state_at, c.deadline_at, c.acknowledged_by, c.due_at
FROM page c
JOIN exams e ON e.id = c.exam_id
JOIN users u ON u.id = c.candidate_id
ORDER BY c.due_at, c.id;

-- name: list_decisions
-- $1 attempt_id. About the attempt's sessions.
SELECT id AS decision_id, session_id AS proctor_session_id, status, is_finalized FROM proctor_decisions
WHERE attempt_id = $1 ORDER BY id;

-- name: insert_resolution
-- A grade is the next revision of the score: the caller holds the attempt, and makes it in the same transaction.
INSERT INTO resolutions (claim_id, number, outcome, led_to, decision_id, graded_as, remediation_id, text_en, text_ar,
                         resolved_by, resolved_at)
VALUES (:claim_id, :number, :outcome, :led_to, :decision_id,
        CASE WHEN :led_to = 'grade' THEN (SELECT max(g.revision) + 1 FROM submission_scores g WHERE g.submission_id = :submission_id) END,
        :remediation_id, :text_en, :text_ar, :resolved_by, :now);

-- name: hold_graded
-- $1 attempt_id
SELECT FROM exam_attempts WHERE id = $1 FOR UPDATE;

-- name: has_decision
-- $1 decision id, $2 attempt_id
SELECT EXISTS (SELECT FROM proctor_decisions WHERE id = $1 AND attempt_id = $2);

-- name: reaches
-- $1 remediation id, $2 exam id. Whether it is of the evaluation that the exam points at, and the caller sees it.
SELECT EXISTS (SELECT FROM remediations r JOIN exams e ON e.evaluation_version_id = r.evaluation_version_id
               WHERE r.id = $1 AND e.id = $2);
