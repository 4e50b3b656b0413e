-- Statements of the core API on the ledger: appending in the caller's transaction, proofs, the audit log.

-- name: append_events
-- $1 ids uuid[], $2 organisations uuid[], $3 occurred_at timestamptz[], $4 kinds text[], $5 aggregate types text[],
-- $6 aggregate ids text[], $7 actors uuid[], $8 actor roles text[], $9 subjects uuid[], $10 bodies bytea[];
-- $11 records text[], null: the event commits to none; $12 subjects that name the record too uuid[], $13 salts bytea[], $14 where
-- in the body the commitment goes int[]; $15 payloads of outbox rows as JSON text[], null: no worker acts on it;
-- personal values: $16 event ids uuid[], $17 names text[], $18 persons uuid[], $19 salts bytea[], $20 values text[]
-- One round trip. The records are read as this transaction has left them. A trigger queues the events for the sealer.
WITH given AS MATERIALIZED (
    SELECT g.*, c.hashes, c.committed
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[], $9::uuid[],
                $10::bytea[], $11::text[], $12::uuid[], $13::bytea[], $14::integer[], $15::text[])
        AS g (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body, record,
              keyed_by, salt, place, payload)
    CROSS JOIN LATERAL commit_to_record(g.record, g.aggregate_id, g.keyed_by, g.salt) c
), salted AS (
    INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
    SELECT * FROM unnest($16::uuid[], $17::text[], $18::uuid[], $19::bytea[], $20::text[])
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
-- $1 event uuid, $2 organisation, $3 user, $4 whole organisation boolean, $5 kinds that a candidate may fetch text[],
-- $6 is candidate boolean: they see those kinds about themselves; everybody else what they did.
-- position is null while the event waits for the sealer.
SELECT e.body, l.position
FROM ledger_events e
LEFT JOIN ledger_leaves l ON l.event_id = e.id
WHERE e.id = $1 AND e.organisation_id = $2
  AND ($4 OR (NOT $6::boolean AND e.actor_id = $3) OR ($6 AND e.subject_id = $3 AND e.kind = ANY ($5::text[])));

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
-- $1 organisation, $2 kind or null, $3 actor or null, $4 aggregate type or null, $5 aggregate id or null,
-- $6 from timestamptz or null, $7 before timestamptz or null, $8 first id of $6, $9 first id after $7, $10 with what
-- candidates and the system do in exams boolean, $11 before id or null, $12 limit. Newest first. The ids bound what the
-- index has to walk; the times are exact.
SELECT e.id, e.occurred_at, e.kind, e.aggregate_type, e.aggregate_id, e.actor_id, e.actor_role, e.subject_id, e.body,
       l.position, s.personal
FROM ledger_events e
LEFT JOIN ledger_leaves l ON l.event_id = e.id
LEFT JOIN LATERAL (SELECT jsonb_object_agg(name, value) AS personal FROM ledger_salts WHERE event_id = e.id AND name NOT LIKE 'record:%') s ON true
WHERE e.organisation_id = $1
  AND ($2::text IS NULL OR e.kind = $2) AND ($3::uuid IS NULL OR e.actor_id = $3)
  AND ($4::text IS NULL OR e.aggregate_type = $4) AND ($5::text IS NULL OR e.aggregate_id = $5)
  AND ($6::timestamptz IS NULL OR e.occurred_at >= $6) AND ($7::timestamptz IS NULL OR e.occurred_at < $7)
  AND ($8::uuid IS NULL OR e.id >= $8) AND ($9::uuid IS NULL OR e.id < $9)
  AND ($11::uuid IS NULL OR e.id < $11)
  AND ($10::boolean OR e.actor_role NOT IN ('student', 'system') OR e.aggregate_type NOT IN ('attempt', 'session', 'submission'))
ORDER BY e.id DESC
LIMIT $12;
