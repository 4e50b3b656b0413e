-- What one may change of one's own ends at one's own role (spec.md A-4, A-5). Row security says whose rows an asker reaches;
-- this says how far they may change them. Columns that no statement changes lose their grant. What only an admin's statement
-- or the system's changes is refused to everybody else by trigger; and rows that others keep about somebody (their groups,
-- their student profile, their organisation) are not theirs to write at all.

-- -- columns that nothing changes

REVOKE UPDATE ON organisations, users, exams, teacher_exam_permissions, assignments, assignment_overrides, exam_attempts,
    attempt_answers, student_profiles, teacher_profiles, groups, group_members, logins, revocations, proctor_sessions
    FROM veritas_core;
GRANT UPDATE (name, registration_open) ON organisations TO veritas_core;
GRANT UPDATE (username, full_name, metadata, password_hash, role, is_active, last_login, last_login_ip, token_generation, standing)
    ON users TO veritas_core;
GRANT UPDATE (title, description, subject, topic, max_score, duration_minutes, is_published, published_at, archived_at,
              passing_score, enable_monitoring, enable_integrity_analysis, metadata, evaluation_version_id) ON exams TO veritas_core;
GRANT UPDATE (can_view, can_edit, can_view_analytics) ON teacher_exam_permissions TO veritas_core;
GRANT UPDATE (opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed, monitoring_mode, rule_exemptions, revoked_at)
    ON assignments TO veritas_core;
GRANT UPDATE (opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed, monitoring_mode, rule_exemptions, reason,
              created_by, created_at) ON assignment_overrides TO veritas_core;
GRANT UPDATE (client_seq, response, saved_at) ON attempt_answers TO veritas_core;
GRANT UPDATE (status, score, percentage, passed, completed_at, duration_seconds, submitted_by, submission_data)
    ON exam_attempts TO veritas_core;
GRANT UPDATE (enrollment_id, cohort) ON student_profiles TO veritas_core;
GRANT UPDATE (title, department) ON teacher_profiles TO veritas_core;
GRANT UPDATE (name, description) ON groups TO veritas_core;
GRANT UPDATE (expires_at, revoked_at, reason) ON logins TO veritas_core;
GRANT UPDATE (expires_at) ON revocations TO veritas_core;
DO $$
BEGIN
    -- What a session is of, how strict it is, and what the event tier counts in it, is fixed; the rest tells of its client.
    EXECUTE (SELECT format('GRANT UPDATE (%s) ON proctor_sessions TO veritas_core', string_agg(quote_ident(attname), ', '))
             FROM pg_attribute
             WHERE attrelid = 'proctor_sessions'::regclass AND attnum > 0 AND NOT attisdropped
               AND attname <> ALL (ARRAY['id', 'attempt_id', 'exam_id', 'candidate_id', 'organisation_id', 'mode', 'started_at',
                                         'final_seq', 'heartbeat_missed_count', 'silent_since']));
END
$$;

-- -- columns that are for an admin, or for the system

CREATE FUNCTION keep_all_but() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(new) - tg_argv IS DISTINCT FROM to_jsonb(old) - tg_argv THEN
        RAISE EXCEPTION 'this asker changes nothing of % but %', tg_table_name, array_to_string(tg_argv, ', ')
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION keep_all_but() IS 'Arguments: the columns that whoever asks may change.';

CREATE TRIGGER own_account BEFORE UPDATE ON users FOR EACH ROW
    WHEN (asker_view() IN ('candidate', 'staff', 'observer', 'person'))
    EXECUTE FUNCTION keep_all_but('username', 'full_name', 'metadata', 'token_generation');
CREATE TRIGGER managed_account BEFORE UPDATE ON users FOR EACH ROW
    WHEN (asker_view() = 'organisation')
    EXECUTE FUNCTION keep_all_but('role', 'is_active', 'token_generation', 'standing');
CREATE TRIGGER ended_login BEFORE UPDATE ON logins FOR EACH ROW
    WHEN (asker_view() <> 'system') EXECUTE FUNCTION keep_all_but('revoked_at', 'reason');
CREATE TRIGGER never_shorter BEFORE UPDATE ON revocations FOR EACH ROW
    WHEN (asker_view() <> 'system' AND new.expires_at < old.expires_at) EXECUTE FUNCTION keep_all_but();
-- A candidate's attempt takes its outcome once, from the hand-in; staff grade what is over.
CREATE TRIGGER own_outcome BEFORE UPDATE ON exam_attempts FOR EACH ROW
    WHEN (asker_view() = 'candidate' AND old.status <> 'in_progress') EXECUTE FUNCTION keep_all_but();
CREATE TRIGGER graded_outcome BEFORE UPDATE ON exam_attempts FOR EACH ROW
    WHEN (asker_view() IN ('staff', 'organisation')) EXECUTE FUNCTION keep_all_but('score', 'percentage', 'passed');

-- -- who may look at an exam and who may change it

CREATE VIEW edited_exams AS
SELECT id AS exam_id FROM exams WHERE creator_id = (SELECT asker())
UNION ALL
SELECT p.exam_id FROM teacher_exam_permissions p JOIN users u ON u.id = p.teacher_id
WHERE p.teacher_id = (SELECT asker()) AND p.can_edit AND u.role = 'teacher';
GRANT SELECT ON edited_exams TO veritas_core;

DO $$
DECLARE
    edited text;
BEGIN
    FOREACH edited IN ARRAY ARRAY['assignments', 'exam_attempts'] LOOP
        EXECUTE format('CREATE POLICY edited ON %s AS RESTRICTIVE FOR UPDATE TO veritas_core USING'
                       ' (CASE (SELECT asker_view()) WHEN ''staff'' THEN exam_id IN (SELECT exam_id FROM edited_exams)'
                       ' ELSE true END)', edited);
    END LOOP;
END
$$;
CREATE POLICY edited ON exams AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING (CASE (SELECT asker_view()) WHEN 'staff' THEN id IN (SELECT exam_id FROM edited_exams) ELSE true END);
CREATE POLICY edited_in ON assignments AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (CASE (SELECT asker_view()) WHEN 'staff' THEN exam_id IN (SELECT exam_id FROM edited_exams) ELSE true END);
CREATE POLICY edited_in ON assignment_overrides AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK (CASE (SELECT asker_view())
                    WHEN 'staff' THEN EXISTS (SELECT FROM assignments a JOIN edited_exams e ON e.exam_id = a.exam_id
                                              WHERE a.id = assignment_id)
                    ELSE true END);
CREATE POLICY edited ON assignment_overrides AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'staff' THEN EXISTS (SELECT FROM assignments a JOIN edited_exams e ON e.exam_id = a.exam_id
                                         WHERE a.id = assignment_id)
               ELSE true END);
CREATE POLICY edited_out ON assignment_overrides AS RESTRICTIVE FOR DELETE TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'staff' THEN EXISTS (SELECT FROM assignments a JOIN edited_exams e ON e.exam_id = a.exam_id
                                         WHERE a.id = assignment_id)
               ELSE true END);

-- -- rows that others keep about somebody

DO $$
DECLARE
    kept regclass;
BEGIN
    FOREACH kept IN ARRAY ARRAY['organisations', 'student_profiles', 'groups', 'group_members']::regclass[] LOOP
        EXECUTE format('CREATE POLICY kept_in ON %s AS RESTRICTIVE FOR INSERT TO veritas_core'
                       ' WITH CHECK ((SELECT asker_view()) IN (''organisation'', ''system''))', kept);
        EXECUTE format('CREATE POLICY kept_as ON %s AS RESTRICTIVE FOR UPDATE TO veritas_core'
                       ' USING ((SELECT asker_view()) IN (''organisation'', ''system''))', kept);
        EXECUTE format('CREATE POLICY kept_there ON %s AS RESTRICTIVE FOR DELETE TO veritas_core'
                       ' USING ((SELECT asker_view()) IN (''organisation'', ''system''))', kept);
    END LOOP;
END
$$;
CREATE POLICY kept_in ON teacher_profiles AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK ((SELECT asker_view()) IN ('staff', 'organisation', 'system'));
CREATE POLICY begun ON logins AS RESTRICTIVE FOR INSERT TO veritas_core WITH CHECK ((SELECT asker_view()) = 'system');
CREATE POLICY kept_there ON logins AS RESTRICTIVE FOR DELETE TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY kept_there ON revocations AS RESTRICTIVE FOR DELETE TO veritas_core USING ((SELECT asker_view()) = 'system');

-- -- a username is never taken for somebody else's address

UPDATE users SET username = id::text WHERE strpos(username, '@') > 0 AND lower(username) <> lower(email);
ALTER TABLE users ADD CONSTRAINT users_username_is_no_address
    CHECK (strpos(username, '@') = 0 OR lower(username) = lower(email));
