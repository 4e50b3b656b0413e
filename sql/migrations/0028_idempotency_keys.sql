-- What somebody asked for under a key of theirs, and what they were answered (spec.md S-1, I-2): written by the transaction that
-- did it, so that a retry gets the first reply or did not happen. Bounded by account in number, in bytes and in time.
CREATE TABLE idempotency_keys (
    user_id    uuid NOT NULL REFERENCES users,
    key        text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request    bytea NOT NULL CHECK (length(request) = 32),     -- SHA-256 of method, path and body
    claimed_at timestamptz NOT NULL,
    status     smallint,                                        -- null: the reply is not kept
    reply      bytea CHECK (length(reply) <= 262144),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_claimed ON idempotency_keys (user_id, claimed_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON idempotency_keys TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON idempotency_keys TO veritas_ingest, veritas_pipeline, veritas_analyst USING (true);
CREATE POLICY asker ON idempotency_keys TO veritas_core USING (user_id = (SELECT asker()));
CREATE POLICY bound ON idempotency_keys AS RESTRICTIVE TO veritas_core USING (user_id = (SELECT asker()) OR (SELECT asker_view()) = 'system');
GRANT SELECT, INSERT, DELETE, UPDATE (status, reply) ON idempotency_keys TO veritas_core;
