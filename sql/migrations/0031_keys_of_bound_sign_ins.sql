-- A key belongs to whom it came from: the person, or a sign-in of theirs that is bound to one exam (0017_bound_sign_ins.sql),
-- which neither sees nor meets the keys of another exam or of the person's own sign-ins. Rows that nobody's next key
-- deletes are found by their age.
ALTER TABLE idempotency_keys
    ADD COLUMN exam_id uuid REFERENCES exams,                   -- null: no bound sign-in's
    DROP CONSTRAINT idempotency_keys_pkey,
    ADD CONSTRAINT idempotency_keys_once UNIQUE NULLS NOT DISTINCT (user_id, key, exam_id);
COMMENT ON COLUMN idempotency_keys.request IS 'SHA-256 of method, address and body';

DROP POLICY bound ON idempotency_keys;
CREATE POLICY bound ON idempotency_keys AS RESTRICTIVE TO veritas_core
    USING ((user_id = (SELECT asker()) OR (SELECT asker_view()) = 'system')
           AND CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END);

CREATE INDEX idempotency_keys_age ON idempotency_keys (claimed_at);
