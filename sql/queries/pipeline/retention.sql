-- Retention: what a sweep takes, and what it leaves and why.

-- name: forecast
-- $1 organisation or null, $2 moment. By organisation, what and why it stays; null: it would go.
SELECT organisation_id, what, days, why, pieces, total, oldest, newest FROM retention_forecast($1, $2);

-- name: list_takable
-- $1 moment, $2 ended after, $3 id of the session that did, $4 limit. Sessions whose events may go, in the order of their end.
SELECT session_id, organisation_id, ended_at, days, through_seq, total_events, first_at, last_at
FROM event_retention
WHERE ended_at < $1 AND (ended_at, session_id) > ($2, $3) AND due_at <= $1 AND why IS NULL
ORDER BY ended_at, session_id
LIMIT $4;

-- name: take_events
-- `body` is the event's. Null: something has come between.
SELECT take_events(:organisation, :sessions, :expected, :at, :event_id, :body) AS taken;

-- name: list_expired
-- Evidence whose file may go at a moment, after a piece, by organisation, the oldest first.
SELECT evidence_id, organisation_id, requested_at, tier, size_bytes, sha256, days, since
FROM evidence_retention
WHERE requested_at <= :at::timestamptz - days * interval '1 day'
  AND (organisation_id, requested_at, evidence_id) > (:organisation, :requested_at, :evidence_id)
  AND due_at <= :at AND why IS NULL
ORDER BY organisation_id, requested_at, evidence_id
LIMIT :limit;

-- name: take_evidence
-- `body` is the step's event's; `events` and `bodies` are those of the pieces. Null: something has come between.
SELECT take_evidence(:organisation, :pieces, :at, :event_id, :body, :events, :bodies) AS bytes;

-- name: list_leaving
-- $1 after a piece, $2 limit. Pieces that are gone, and whose files may be there still.
SELECT l.evidence_id, e.tier
FROM leaving_evidence l
JOIN evidence e ON e.id = l.evidence_id
WHERE l.evidence_id > $1
ORDER BY l.evidence_id
LIMIT $2;

-- name: forget_leaving
-- $1 piece
DELETE FROM leaving_evidence WHERE evidence_id = $1;

-- name: drop_empty_day
-- $1 before. The day that was dropped, or null.
SELECT drop_empty_day($1) AS day;

-- name: let_publish
-- $1 dataset
SELECT pg_advisory_unlock(1986359927, hashtext($1));

-- name: list_gone
-- $1 sessions. Those whose events are only in the archive, and whose attempt it is.
SELECT g.session_id, g.through_seq, g.total_events, g.first_at, g.last_at, s.organisation_id
FROM gone_events g
JOIN proctor_sessions s ON s.id = g.session_id
WHERE g.session_id = ANY ($1::bigint[]) AND g.through_seq > 0
ORDER BY g.session_id;

-- name: list_gone_of_attempts
-- $1 attempt ids as text. Sessions whose events are only in the archive.
SELECT g.session_id, g.through_seq, g.first_at, g.last_at, s.attempt_id::text AS attempt_id, a.status <> 'in_progress' AS is_over,
       EXISTS (SELECT FROM attempt_drafts d WHERE d.attempt_id = s.attempt_id) AS has_drafts
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
JOIN gone_events g ON g.session_id = s.id AND g.through_seq > 0
WHERE s.attempt_id = ANY ($1::text[]::uuid[]);

-- name: list_gone_between
-- $1 from, $2 before, $3 exam or null, $4 session or null. Sessions to be brought back, the oldest first.
SELECT g.session_id, g.through_seq, g.total_events, g.first_at, g.last_at, s.organisation_id
FROM gone_events g
JOIN proctor_sessions s ON s.id = g.session_id
WHERE g.through_seq > 0 AND ($1::timestamptz IS NULL OR g.last_at >= $1) AND ($2::timestamptz IS NULL OR g.first_at < $2)
  AND ($3::uuid IS NULL OR s.exam_id = $3) AND ($4::bigint IS NULL OR g.session_id = $4)
ORDER BY g.first_at, g.session_id;

-- name: list_gone_of_batch
-- $1 batch. Of the sessions of its ranges: up to where the archive alone has their events.
SELECT g.session_id, g.through_seq
FROM reporting.archive_ranges r
JOIN gone_events g ON g.session_id = r.session_id
WHERE r.batch_id = $1 AND g.through_seq > 0;

-- name: bring_back
SELECT bring_back_events(:session_id, :until, :seqs, :occurred, :effective, :client_times, :clients, :client_seqs, :types,
                         :severities, :violations, :lates, :names, :payloads, :at, :event_id, :body) AS is_back;
