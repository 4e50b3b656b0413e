-- What happened, for workers and for the record.

-- name: insert_fact
-- $1 event_id uuid, $2 organisation, $3 occurred_at timestamptz, $4 kind, $5 aggregate type, $6 aggregate id as text, a UUID's,
-- $7 actor uuid or null, $8 actor's role, $9 subject uuid or null, $10 body bytea; personal values: $11 event ids uuid[],
-- $12 names text[], $13 persons uuid[], $14 salts bytea[], $15 values text[]; $16 the outbox's payload as JSON text
-- The ledger event as `append_events` makes it and the outbox row, in one round trip.
WITH salted AS (
    INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
    SELECT * FROM unnest($11::uuid[], $12::text[], $13::uuid[], $14::bytea[], $15::text[])
), told AS (
    INSERT INTO outbox (event_id, kind, organisation_id, actor_id, resource_id, payload, occurred_at)
    VALUES ($1, $4, $2, $7, $6::text::uuid, $16::text::jsonb, $3)
)
INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                           subject_id, body)
VALUES ($1, $2, $3, $4, $5, $6::text, $7, $8, $9, $10);
