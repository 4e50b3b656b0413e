-- What rules weigh in an attempt.

-- name: keeps_rule
-- $1 session id, $2 rule id
SELECT true
FROM proctor_sessions s
JOIN rule_sets r ON r.id = s.rule_set_id
JOIN risk_rule_versions v ON v.id = ANY (r.version_ids)
WHERE s.id = $1 AND v.rule_id = $2;

-- name: find_newest
-- $1 attempt uuid, $2 rule id. Holds the attempt: of two that come at once the second sees the first.
WITH held AS (SELECT id FROM exam_attempts WHERE id = $1 FOR NO KEY UPDATE)
SELECT a.id, a.attempt_id, a.rule_id, a.percent, a.reason, a.created_by, a.created_at
FROM held
JOIN risk_adjustments a ON a.attempt_id = held.id
WHERE a.rule_id = $2
ORDER BY a.id DESC
LIMIT 1;

-- name: insert_adjustment
INSERT INTO risk_adjustments (attempt_id, rule_id, percent, reason, created_by, created_at)
VALUES (:attempt_id, :rule_id, :percent, :reason, :created_by, :created_at)
RETURNING id, attempt_id, rule_id, percent, reason, created_by, created_at;

-- name: mark_attempt
-- $1 attempt uuid. What is computed from its sessions is stale.
INSERT INTO dirty_sessions (session_id) SELECT id FROM proctor_sessions WHERE attempt_id = $1;

-- name: list_adjustments
-- $1 attempt uuid. Newest first, the latest two hundred.
SELECT id, attempt_id, rule_id, percent, reason, created_by, created_at
FROM risk_adjustments
WHERE attempt_id = $1
ORDER BY id DESC
LIMIT 200;
