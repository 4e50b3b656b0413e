-- What happened, for workers and for the record.

-- name: insert_fact
-- $1 event_id uuid, $2 kind text, $3 organisation uuid, $4 actor uuid or null, $5 resource uuid, $6 payload as JSON text,
-- $7 occurred_at timestamptz
INSERT INTO outbox (event_id, kind, organisation_id, actor_id, resource_id, payload, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7);
