-- Bundles of appeals: what is held of a claim and of its attempt.

-- name: count_bundles
-- $1 claim id. The caller holds the claim.
SELECT count(*) FROM appeal_bundles WHERE claim_id = $1;

-- name: insert_bundle
INSERT INTO appeal_bundles (claim_id, number, manifest, parts, event_id, made_at)
VALUES (:claim_id, :number, :manifest, :parts::text::json, :event_id, :now);

-- name: fetch_bundle
-- $1 claim id, $2 candidate. The newest, with its event and where that stands.
SELECT b.number, b.made_at, b.manifest, b.parts::text AS parts, b.event_id, l.body, p.position
FROM appeal_bundles b
JOIN claims c ON c.id = b.claim_id
JOIN ledger_events l ON l.id = b.event_id
LEFT JOIN ledger_leaves p ON p.event_id = b.event_id
WHERE b.claim_id = $1 AND c.candidate_id = $2
ORDER BY b.number DESC
LIMIT 1;

-- name: list_revisions
-- $1 submission_id. Oldest first; by whom says `graded` alone: a person, or a machine; `corrected`: by a key that was put right.
SELECT c.revision, c.scoring_version, c.item_points::text AS item_points, c.points::float8 AS points, c.max_points::float8 AS max_points,
       c.ungraded, c.score::float8 AS score, c.percentage::float8 AS percentage, c.passed,
       c.scored_by IS NOT NULL AND m.revision IS NULL AS graded, m.revision IS NOT NULL AS corrected, c.scored_at
FROM submission_scores c
LEFT JOIN remediated_submissions m ON m.submission_id = c.submission_id AND m.revision = c.revision
WHERE c.submission_id = $1
ORDER BY c.revision;

-- name: list_evidence
-- $1 attempt_id. What the candidate sent, with its hashes, and when the file went by policy.
SELECT e.id AS evidence_id, e.session_id, e.type, e.status, e.file_name, e.content_type, e.size_bytes AS size,
       encode(e.sha256, 'hex') AS sha256, e.requested_at, e.closed_at, e.gone_at
FROM proctor_sessions s JOIN evidence e ON e.session_id = s.id
WHERE s.attempt_id = $1 ORDER BY e.id;

-- name: list_chunks
-- $1 attempt_id
SELECT c.evidence_id, c.number, c.size_bytes, encode(c.sha256, 'hex') AS sha256
FROM proctor_sessions s JOIN evidence e ON e.session_id = s.id JOIN evidence_chunks c ON c.evidence_id = e.id
WHERE s.attempt_id = $1 AND c.stored_at IS NOT NULL ORDER BY c.evidence_id, c.number;

-- name: is_of_attempt
-- $1 evidence id, $2 attempt_id
SELECT EXISTS (SELECT FROM evidence e JOIN proctor_sessions s ON s.id = e.session_id WHERE e.id = $1 AND s.attempt_id = $2);

-- name: list_timeline
-- $1 attempt_id. What happened, but for raw events: the attempt, its sessions, what its client was told, its result's state.
SELECT t.at, t.what, t.session_id, t.text_en, t.text_ar
FROM (SELECT started_at AS at, 'attempt began' AS what, NULL::bigint AS session_id, NULL::text AS text_en, NULL::text AS text_ar
      FROM exam_attempts WHERE id = $1
      UNION ALL
      SELECT finalised_at, 'handed in by ' || submitted_by, NULL, NULL, NULL FROM submissions WHERE attempt_id = $1
      UNION ALL
      SELECT started_at, 'session began', id, NULL, NULL FROM proctor_sessions WHERE attempt_id = $1
      UNION ALL
      SELECT ended_at, 'session ended', id, NULL, NULL FROM proctor_sessions WHERE attempt_id = $1 AND ended_at IS NOT NULL
      UNION ALL
      SELECT m.created_at, 'told: ' || m.kind, m.session_id, m.text_en, m.text_ar
      FROM proctor_sessions s JOIN session_commands m ON m.session_id = s.id WHERE s.attempt_id = $1
      UNION ALL
      SELECT changed_at, CASE WHEN is_void THEN 'result made void' ELSE 'result restored' END, NULL, NULL, NULL
      FROM submission_results WHERE attempt_id = $1) t
ORDER BY t.at, t.what;

-- name: list_views
-- $1 attempt_id, $2 limit. Who looked at the attempt, its submission, its sessions, their evidence and claims about it: the newest.
SELECT l.occurred_at AS at, l.kind AS what, l.actor_role AS role
FROM ledger_events l
WHERE l.kind LIKE '%.viewed'
  AND l.aggregate_id IN (SELECT $1::uuid::text
                         UNION ALL SELECT id::text FROM submissions WHERE attempt_id = $1
                         UNION ALL SELECT id::text FROM claims WHERE attempt_id = $1
                         UNION ALL SELECT id::text FROM proctor_sessions WHERE attempt_id = $1
                         UNION ALL SELECT e.id::text FROM proctor_sessions s JOIN evidence e ON e.session_id = s.id
                                   WHERE s.attempt_id = $1)
  AND (l.subject_id IS NULL OR l.subject_id = (SELECT student_id FROM exam_attempts WHERE id = $1))
ORDER BY l.id DESC
LIMIT $2;

-- name: list_verdicts
-- $1 attempt_id. Final decisions about the attempt's sessions, with their reasons.
SELECT session_id, status, reason_en, reason_ar, coalesce(overridden_at, decided_at) AS decided_at,
       overridden_by IS NOT NULL AS was_overridden
FROM proctor_decisions WHERE attempt_id = $1 AND is_finalized ORDER BY session_id;

-- name: list_traces
-- $1 attempt_id. Of each session the newest score, with the trace behind it.
SELECT DISTINCT ON (r.session_id) r.session_id, r.as_of, r.risk_score::float8 AS risk_score,
       r.peak_risk_score::float8 AS peak_risk_score, r.trace::text AS trace
FROM proctor_sessions s JOIN risk_snapshots r ON r.session_id = s.id
WHERE s.attempt_id = $1 ORDER BY r.session_id, r.id DESC;
