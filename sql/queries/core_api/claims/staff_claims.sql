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
-- Of the exams that the caller may see; what is due first comes first.
SELECT c.id AS claim_id, c.submission_id, c.attempt_id, c.exam_id, e.title AS exam_title, c.candidate_id,
       u.full_name AS candidate_name, c.subject, c.state, c.opened_at, c.state_at, c.deadline_at, c.acknowledged_by
FROM claims c
JOIN exams e ON e.id = c.exam_id
JOIN users u ON u.id = c.candidate_id
WHERE c.organisation_id = :organisation AND c.is_open = :is_open
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = c.exam_id AND v.user_id = :user_id))
  AND (:exam_id::uuid IS NULL OR c.exam_id = :exam_id)
  AND (:state::text IS NULL OR c.state = :state)
  AND (:subject::text IS NULL OR c.subject = :subject)
  AND (:due_before::timestamptz IS NULL OR c.deadline_at < :due_before)
  AND (:cursor::uuid IS NULL
       OR (coalesce(c.deadline_at, c.state_at), c.id) > (SELECT coalesce(l.deadline_at, l.state_at), l.id FROM claims l
                                                         WHERE l.id = :cursor))
ORDER BY coalesce(c.deadline_at, c.state_at), c.id
LIMIT :limit;

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
