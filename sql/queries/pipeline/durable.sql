-- Statements that read datasets straight from durable tables, in the datasets' columns.

-- name: list_sealed
-- $1 after how many, $2 how many
SELECT l.position AS log_position, e.id::text AS event_id, e.organisation_id::text AS organisation_id, e.occurred_at, e.kind, e.aggregate_type,
       e.aggregate_id, e.actor_id::text AS actor_id, e.actor_role, e.subject_id::text AS subject_id,
       convert_from(e.body, 'UTF8') AS body, encode(l.leaf_hash, 'hex') AS leaf_hash
FROM ledger_leaves l
JOIN ledger_events e ON e.id = l.event_id
WHERE l.position >= $1::bigint AND l.position < $1::bigint + $2::bigint
ORDER BY l.position;

-- name: read_sealed_size
SELECT coalesce(max(position) + 1, 0) AS size FROM ledger_leaves;

-- name: list_scored_exams
SELECT DISTINCT s.exam_id::text AS exam_id
FROM proctor_sessions s
WHERE EXISTS (SELECT FROM risk_snapshots r WHERE r.session_id = s.id)
ORDER BY 1;

-- name: list_snapshots
-- $1 exam ids, $2 sessions, $3 the last snapshot of each that is known. In a session they come one after the other.
SELECT r.id AS snapshot_id, r.session_id, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id,
       s.organisation_id::text AS organisation_id, a.student_id::text AS student_id, r.as_of, r.calculated_at,
       r.risk_score::float8 AS risk_score, r.peak_risk_score::float8 AS peak_risk_score, r.cause, r.trace::text AS trace,
       r.rule_set_id, r.through_seq, r.judgements, r.adjustment_id, r.ended_at
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
LEFT JOIN unnest($2::bigint[], $3::bigint[]) AS known (session_id, snapshot_id) ON known.session_id = s.id
JOIN LATERAL (
    SELECT * FROM risk_snapshots x WHERE x.session_id = s.id AND x.id > coalesce(known.snapshot_id, 0)
) r ON true
WHERE s.exam_id = ANY ($1::text[]::uuid[])
ORDER BY r.session_id, r.id;

-- name: list_rule_precision
-- $1 organisation ids, or null for all. In how many sessions each rule fired, and what was finally decided of those.
SELECT v.rule_id, v.organisation_id::text AS organisation_id, v.version, v.name_en, v.is_active, f.fired, f.upheld, f.cleared,
       f.overturned, f.upheld::float8 / nullif(f.upheld + f.cleared, 0) AS upheld_share, f.last_decided_at AS as_of
FROM (SELECT DISTINCT ON (rule_id) rule_id, organisation_id, version, name_en, is_active
      FROM risk_rule_versions
      WHERE $1::text[] IS NULL OR organisation_id = ANY ($1::text[]::uuid[])
      ORDER BY rule_id, version DESC) v
CROSS JOIN LATERAL rule_fared(v.rule_id) f
ORDER BY 2, 1;
