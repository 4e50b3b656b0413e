-- Decisions about proctor sessions: one for each, with a history that only grows.

-- name: find_reviewable
-- No row when the session is not visible to the caller.
SELECT s.id, s.attempt_id, s.exam_id, s.candidate_id, s.organisation_id, a.status AS attempt_status,
       :sees_organisation OR EXISTS (SELECT FROM judged_exams j WHERE j.exam_id = s.exam_id) AS may_decide
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
WHERE s.id = :id AND s.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = :user_id));

-- name: lock_attempt
-- $1 attempt_id text. Held to the end of the transaction: who comes second sees what the first has decided. A row lock is no
-- way: reviewers may not change what they look at.
SELECT pg_advisory_xact_lock(hashtextextended('decision/' || $1, 45));

-- name: find_session_of
-- $1 decision id, $2 organisation
SELECT session_id FROM proctor_decisions WHERE id = $1 AND organisation_id = $2;

-- name: fetch_decision
-- $1 session id. Who decided last, an override included.
SELECT d.id, d.session_id AS proctor_session_id, d.attempt_id, d.status, d.reason_en AS decision_reason_en,
       d.reason_ar AS decision_reason_ar, d.internal_notes, coalesce(d.overridden_by, d.decided_by) AS decided_by,
       coalesce(u.full_name, '') AS decided_by_name, coalesce(d.overridden_at, d.decided_at) AS decided_at, d.is_finalized,
       d.previous_status, d.overridden_by IS NOT NULL AS was_overridden, d.override_reason
FROM proctor_decisions d
LEFT JOIN users u ON u.id = coalesce(d.overridden_by, d.decided_by)
WHERE d.session_id = $1;

-- name: save_decision
-- The caller holds the attempt and has looked: what is there is not final.
INSERT INTO proctor_decisions (session_id, attempt_id, exam_id, candidate_id, organisation_id, status, reason_en, reason_ar,
                               internal_notes, decided_by, decided_at, is_finalized)
VALUES (:session_id, :attempt_id, :exam_id, :candidate_id, :organisation_id, :status, :reason_en, :reason_ar, :internal_notes,
        :decided_by, :decided_at, :is_finalized)
ON CONFLICT (session_id) DO UPDATE
SET status = excluded.status, reason_en = excluded.reason_en, reason_ar = excluded.reason_ar,
    internal_notes = excluded.internal_notes, decided_by = excluded.decided_by, decided_at = excluded.decided_at,
    is_finalized = excluded.is_finalized
WHERE NOT proctor_decisions.is_finalized
RETURNING id;

-- name: override_decision
UPDATE proctor_decisions
SET previous_status = status, status = :status, reason_en = :reason_en, reason_ar = :reason_ar, is_finalized = true,
    overridden_by = :overridden_by, overridden_at = :overridden_at, override_reason = :override_reason
WHERE id = :id;

-- name: insert_act
-- As the decision stands after it.
INSERT INTO decision_acts (decision_id, number, act, status, reason_en, reason_ar, internal_notes, override_reason, acted_by,
                           acted_at)
SELECT d.id, (SELECT count(*) + 1 FROM decision_acts WHERE decision_id = d.id), :act, d.status, d.reason_en, d.reason_ar,
       d.internal_notes, d.override_reason, :acted_by, :acted_at
FROM proctor_decisions d
WHERE d.id = :decision_id;

-- name: list_acts
-- $1 decision id, $2 limit. Newest first.
SELECT a.number, a.act, a.status, a.reason_en AS decision_reason_en, a.reason_ar AS decision_reason_ar, a.internal_notes,
       a.override_reason, a.acted_by, coalesce(u.full_name, '') AS acted_by_name, a.acted_at
FROM decision_acts a
LEFT JOIN users u ON u.id = a.acted_by
WHERE a.decision_id = $1
ORDER BY a.number DESC
LIMIT $2;

-- name: is_invalidated
-- $1 attempt_id uuid. An attempt may have two sessions, each with its decision: one that invalidates is enough.
SELECT EXISTS (SELECT FROM proctor_decisions WHERE attempt_id = $1 AND is_finalized AND status = 4);
