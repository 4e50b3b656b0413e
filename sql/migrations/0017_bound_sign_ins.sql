-- A sign-in by launch link is good for one exam (spec.md A-7). Whoever borrows a connection says to which exam the asker's
-- sign-in is bound (veritas.exam_id); then nothing of another exam exists for it, whatever a statement asks. These policies
-- are restrictive: they are one more condition on what 0011_row_security.sql allows, and no condition where the sign-in is
-- not bound. A table or view that a candidate reads needs one, and a test fails until it has it.

CREATE FUNCTION asker_exam() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('veritas.exam_id', true), '')::uuid;
COMMENT ON FUNCTION asker_exam() IS 'Always as (SELECT asker_exam()): read once a statement, not once a row.';

-- -- how somebody stands: launch links carry it

ALTER TABLE users ADD COLUMN standing integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.standing IS 'How often the account was locked or given another role: links from before are void.';

-- -- a launched sign-in: its exam, and who issued the link

ALTER TABLE logins ADD COLUMN exam_id uuid REFERENCES exams, ADD COLUMN issuer_id uuid REFERENCES users,
    ADD CHECK ((exam_id IS NULL) = (issuer_id IS NULL)),
    DROP CONSTRAINT logins_reason_check,
    ADD CONSTRAINT logins_reason_check CHECK (reason IN ('signed_out', 'everywhere', 'reuse', 'issuer_barred'));
CREATE INDEX logins_issuer ON logins (issuer_id) WHERE issuer_id IS NOT NULL;

-- A reply that got lost is asked for again: by the same link, from the same place, within a grace, with the same sign-in.
ALTER TABLE launch_uses
    ADD COLUMN login_id uuid REFERENCES logins ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    ADD COLUMN address inet,
    ADD COLUMN agent_sha256 bytea CHECK (length(agent_sha256) = 32),
    ADD COLUMN uses integer NOT NULL DEFAULT 1,
    ADD COLUMN replayed_at timestamptz;                    -- the first use that was refused
CREATE INDEX launch_uses_expiry ON launch_uses (expires_at);
CREATE INDEX launch_uses_login ON launch_uses (login_id);
GRANT UPDATE (uses, replayed_at), DELETE ON launch_uses TO veritas_core;

-- -- the views that answer with their owner's rights

CREATE OR REPLACE VIEW own_attempts AS
SELECT id, exam_id, evaluation_version_id FROM exam_attempts
WHERE student_id = (SELECT asker())
  AND CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END;

CREATE OR REPLACE VIEW reaching_assignments AS
SELECT id, exam_id, revoked_at FROM assignments
WHERE (user_id = (SELECT asker()) OR group_id IN (SELECT group_id FROM group_members WHERE user_id = (SELECT asker())))
  AND CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END;

CREATE OR REPLACE VIEW seen_sessions AS
SELECT s.* FROM proctor_sessions s
WHERE CASE (SELECT asker_view())
          WHEN 'system' THEN true
          WHEN 'organisation' THEN s.organisation_id = (SELECT asker_organisation())
          WHEN 'staff' THEN EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = s.exam_id)
          ELSE s.candidate_id = (SELECT asker())
      END
  AND CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE s.exam_id = (SELECT asker_exam()) END;

-- -- of the exam alone

CREATE POLICY bound ON exams AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE id = (SELECT asker_exam()) END);
DO $$
DECLARE
    of_exam regclass;
BEGIN
    FOREACH of_exam IN ARRAY ARRAY['exam_attempts', 'assignments', 'submissions', 'proctor_sessions', 'logins']::regclass[] LOOP
        EXECUTE format('CREATE POLICY bound ON %s AS RESTRICTIVE TO veritas_core USING'
                       ' (CASE WHEN (SELECT asker_exam()) IS NULL THEN true ELSE exam_id = (SELECT asker_exam()) END)', of_exam);
    END LOOP;
END
$$;
CREATE POLICY bound ON assignment_overrides AS RESTRICTIVE TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true
                ELSE EXISTS (SELECT FROM reaching_assignments a WHERE a.id = assignment_id) END);

-- Of the ledger: how the attempts at the exam and their submissions came about.
CREATE POLICY bound ON ledger_events AS RESTRICTIVE FOR SELECT TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true
                ELSE aggregate_id IN (SELECT a.id::text FROM own_attempts a)
                     OR id IN (SELECT s.event_id FROM submissions s JOIN own_attempts a ON a.id = s.attempt_id) END);
CREATE POLICY bound ON revocations AS RESTRICTIVE FOR SELECT TO veritas_core
    USING (CASE WHEN (SELECT asker_exam()) IS NULL THEN true
                ELSE EXISTS (SELECT FROM logins l WHERE l.id::text = mark) END);

-- -- of the person, not of the exam: their account is there, and stays as it is

CREATE POLICY bound ON users AS RESTRICTIVE FOR UPDATE TO veritas_core USING ((SELECT asker_exam()) IS NULL);
CREATE POLICY bound ON student_profiles AS RESTRICTIVE TO veritas_core USING ((SELECT asker_exam()) IS NULL);
CREATE POLICY bound ON teacher_profiles AS RESTRICTIVE TO veritas_core USING ((SELECT asker_exam()) IS NULL);
