-- Statements of the core API on the ledger: appending in the caller's transaction, proofs, the audit log.

-- name: append_events
-- One place an event: `records`, null: it commits to none; `keyed_by`: subjects that name the record too; `places`: where in
-- the body the commitment goes; `payloads` of outbox rows as JSON, null: no worker acts on it. One place a personal value:
-- the last five. One round trip. The records are read as this transaction has left them. A trigger queues the events for the
-- sealer.
WITH given AS MATERIALIZED (
    SELECT g.*, c.hashes, c.committed
    FROM unnest(:ids::uuid[], :organisations::uuid[], :times::timestamptz[], :kinds::text[], :aggregate_types::text[],
                :aggregate_ids::text[], :actors::uuid[], :actor_roles::text[], :subjects::uuid[],
                :bodies::bytea[], :records::text[], :keyed_by::uuid[], :salts::bytea[], :places::integer[], :payloads::text[])
        AS g (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body, record,
              keyed_by, salt, place, payload)
    CROSS JOIN LATERAL commit_to_record(g.record, g.aggregate_id, g.keyed_by, g.salt) c
), salted AS (
    INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
    SELECT * FROM unnest(:personal_events::uuid[], :personal_names::text[], :persons::uuid[], :personal_salts::bytea[],
                         :personal_values::text[])
    UNION ALL
    SELECT id, 'record:' || record, NULL, salt, hashes FROM given WHERE record IS NOT NULL
), told AS (
    INSERT INTO outbox (event_id, kind, organisation_id, actor_id, resource_id, payload, occurred_at)
    SELECT id, kind, organisation_id, actor_id, aggregate_id::uuid, payload::jsonb, occurred_at FROM given WHERE payload IS NOT NULL
)
INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                           subject_id, body)
SELECT id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id,
       CASE WHEN committed IS NULL THEN body ELSE overlay(body PLACING convert_to(committed, 'UTF8') FROM place) END
FROM given;

-- name: erase_person
-- $1 person uuid. Their values and salts go; what committed to them stays.
DELETE FROM ledger_salts WHERE person_id = $1;

-- name: forget_record
-- $1 aggregate id, $2 name of the commitment. What hides a record's rows goes with them: their hashes then open to nothing.
DELETE FROM ledger_salts s USING ledger_events e WHERE e.aggregate_id = $1 AND s.event_id = e.id AND s.name = $2;

-- name: fetch_leaf
-- A candidate sees `provable` kinds about themselves; everybody else what they did. position is null while the event waits
-- for the sealer.
SELECT e.body, l.position
FROM ledger_events e
LEFT JOIN ledger_leaves l ON l.event_id = e.id
WHERE e.id = :id AND e.organisation_id = :organisation
  AND (:sees_organisation OR (NOT :is_candidate::boolean AND e.actor_id = :user_id)
       OR (:is_candidate AND e.subject_id = :user_id AND e.kind = ANY (:provable::text[])));

-- name: find_head
-- $1 size bigint or null. The smallest signed head of at least that size; without one the newest.
(SELECT note FROM ledger_heads WHERE size >= $1::bigint ORDER BY size LIMIT 1)
UNION ALL
(SELECT note FROM ledger_heads WHERE $1::bigint IS NULL ORDER BY size DESC LIMIT 1);

-- name: list_tiles
-- The sealer's too.
-- $1 levels int[], $2 indexes bigint[], pairwise
SELECT t.level, t.index, t.hashes
FROM unnest($1::int[], $2::bigint[]) AS wanted (level, index)
JOIN ledger_tiles t ON t.level = wanted.level AND t.index = wanted.index;

-- name: list_audit_log
-- `routine`: with what candidates and the system do in exams. Newest first. The ids, of the first event at `since` and the
-- first one after `before`, bound what the index has to walk; the times are exact.
SELECT e.id, e.occurred_at, e.kind, e.aggregate_type, e.aggregate_id, e.actor_id, e.actor_role, e.subject_id, e.body,
       l.position, s.personal
FROM ledger_events e
LEFT JOIN ledger_leaves l ON l.event_id = e.id
LEFT JOIN LATERAL (SELECT jsonb_object_agg(name, value) AS personal FROM ledger_salts WHERE event_id = e.id AND name NOT LIKE 'record:%') s ON true
WHERE e.organisation_id = :organisation
  AND (:kind::text IS NULL OR e.kind = :kind) AND (:actor_id::uuid IS NULL OR e.actor_id = :actor_id)
  AND (:aggregate_type::text IS NULL OR e.aggregate_type = :aggregate_type)
  AND (:aggregate_id::text IS NULL OR e.aggregate_id = :aggregate_id)
  AND (:since::timestamptz IS NULL OR e.occurred_at >= :since) AND (:before::timestamptz IS NULL OR e.occurred_at < :before)
  AND (:since_id::uuid IS NULL OR e.id >= :since_id) AND (:before_id::uuid IS NULL OR e.id < :before_id)
  AND (:cursor::uuid IS NULL OR e.id < :cursor)
  AND (:routine::boolean OR e.actor_role NOT IN ('student', 'system')
       OR e.aggregate_type NOT IN ('attempt', 'session', 'submission'))
ORDER BY e.id DESC
LIMIT :limit;
