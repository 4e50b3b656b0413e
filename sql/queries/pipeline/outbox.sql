-- Statements of the outbox's reader. All of them run in one transaction: what was claimed and not deleted is claimed again.

-- name: claim_facts
-- $1 rows at most. Oldest first, without those that another reader holds. Never "id > cursor": a lower id may commit later.
SELECT id, kind, resource_id::text AS resource_id, occurred_at FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED;

-- name: mark_submitted
-- $1 submission ids as text. The sessions of their attempts are touched; those without events have nothing to be folded.
INSERT INTO dirty_sessions (session_id)
SELECT s.id
FROM submissions b
JOIN proctor_sessions s ON s.attempt_id = b.attempt_id
JOIN session_progress p ON p.session_id = s.id
WHERE b.id = ANY ($1::text[]::uuid[]);

-- name: mark_abandoned
-- $1 attempt ids as text; likewise.
INSERT INTO dirty_sessions (session_id)
SELECT s.id
FROM proctor_sessions s
JOIN session_progress p ON p.session_id = s.id
WHERE s.attempt_id = ANY ($1::text[]::uuid[]);

-- name: delete_facts
-- $1 ids that were claimed
DELETE FROM outbox WHERE id = ANY ($1::bigint[]);
