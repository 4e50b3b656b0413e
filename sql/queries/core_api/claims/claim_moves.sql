-- Claims as they move, for whoever moves them.

-- name: hold_claim
-- $1 claim id. Whoever may not move it gets no row.
SELECT id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state, deadline_at, remind_at, acknowledged_by,
       EXISTS (SELECT FROM disputes d WHERE d.claim_id = claims.id) AS is_disputed
FROM claims WHERE id = $1
FOR UPDATE;

-- name: move_claim
-- Whoever acknowledged it stays who did. No row: the caller may not move it any more.
UPDATE claims
SET state = :state, state_at = :now, deadline_at = :deadline_at, remind_at = :remind_at,
    acknowledged_by = coalesce(acknowledged_by, :acknowledged_by)
WHERE id = :id
RETURNING id;

-- name: insert_claim
INSERT INTO claims (id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state, opened_at, state_at,
                    deadline_at, remind_at)
VALUES (:id, :submission_id, :attempt_id, :exam_id, :candidate_id, :organisation_id, :subject, 'opened', :now, :now, :deadline_at,
        :remind_at);

-- name: insert_dispute
INSERT INTO disputes (claim_id, raised, raised_by, raised_at) VALUES (:claim_id, :raised, :raised_by, :now);

-- name: insert_statement
-- No row: there are as many as one claim takes. The caller holds the claim.
INSERT INTO claim_statements (claim_id, number, side, author_id, text, evidence_ids, said_at)
SELECT :claim_id::uuid, count(*) + 1, :side, :author_id, :text, :evidence_ids, :now
FROM claim_statements WHERE claim_id = :claim_id
HAVING count(*) < :statements_max::bigint
RETURNING number;

-- name: list_unknown_evidence
-- Ids that are no evidence of the attempt's proctor sessions, or none that the asker sees.
SELECT u.id FROM unnest(:evidence_ids::bigint[]) AS u (id)
WHERE NOT EXISTS (SELECT FROM evidence e JOIN proctor_sessions s ON s.id = e.session_id
                  WHERE e.id = u.id AND s.attempt_id = :attempt_id)
ORDER BY u.id;

-- name: list_statements
-- $1 claim id
SELECT number, side, author_id, text, evidence_ids, said_at FROM claim_statements WHERE claim_id = $1 ORDER BY number;

-- name: list_resolutions
-- $1 claim id
SELECT number, outcome, led_to, decision_id, graded_as, remediation_id, text_en, text_ar, resolved_by, resolved_at
FROM resolutions WHERE claim_id = $1 ORDER BY number;

-- name: list_due
-- $1 now, $2 at and $3 id of the last row before, $4 limit. Claims whose deadline comes near, or has passed: who has to act is
-- reminded once of each.
SELECT id, remind_at AS at FROM claims WHERE remind_at <= $1 AND (remind_at, id) > ($2, $3) ORDER BY remind_at, id LIMIT $4;

-- name: list_lapsed
-- $1 now, $2 at and $3 id of the last row before, $4 limit. What moves by itself once its deadline has passed.
SELECT id, deadline_at AS at
FROM claims
WHERE state IN ('opened', 'acknowledged', 'asked') AND deadline_at <= $1 AND (deadline_at, id) > ($2, $3)
ORDER BY deadline_at, id
LIMIT $4;

-- name: hold_due
-- $1 claim id, $2 now. No row where somebody else is at it, or has been.
SELECT id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state, deadline_at, remind_at, acknowledged_by,
       EXISTS (SELECT FROM disputes d WHERE d.claim_id = claims.id) AS is_disputed
FROM claims WHERE id = $1 AND (remind_at <= $2 OR deadline_at <= $2)
FOR UPDATE SKIP LOCKED;

-- name: set_reminded
-- $1 claim id
UPDATE claims SET remind_at = NULL WHERE id = $1;
