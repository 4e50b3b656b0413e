-- Receipts: a submission with its ledger event.

-- name: find_position
-- $1 event_id. No row while the event waits for the sealer.
SELECT position FROM ledger_leaves WHERE event_id = $1;

-- name: fetch_document
-- $1 attempt_id, $2 author. position is null while the event waits for the sealer, content once it is kept no longer.
SELECT s.id AS submission_id, s.attempt_id, s.submitted_by, s.finalised_at, encode(s.content_sha256, 'hex') AS content_sha256,
       s.event_id, nullif(convert_from(s.content, 'UTF8'), '') AS content, e.body, l.position
FROM submissions s
JOIN ledger_events e ON e.id = s.event_id
LEFT JOIN ledger_leaves l ON l.event_id = s.event_id
WHERE s.attempt_id = $1 AND s.author_id = $2;
