-- The second wall (spec.md A-4). The core API's statements filter their rows; where one of them forgets to, these policies
-- show veritas_core no more than the asker may see anyway. They are a little wider than the statements where a statement
-- decides with more than the row (what exactly somebody may do with an exam), and never cross organisations or candidates.
--
-- Whoever borrows a connection says for whom (core_api/database.py): nobody sees nothing. The views, by veritas.view:
--   candidate     their own rows, and the exams that are open to them
--   staff         what they made, and the exams that they created or were granted, with what hangs on these
--   organisation  the rows of their organisation
--   observer      the exams that they were granted, with the form; the organisation's students; their own observations
--   person        their own account
--   system        every row, for what runs without a person: sign-in, sweeps, the ledger's queue
--
-- This guards against a statement's mistakes, not against whoever runs statements of their own as veritas_core: a session
-- says itself for whom it asks. The other processes are bounded by their grants. Policies go one way, from what hangs on a
-- row to that row; where one would come back to its own table it asks a view, which reads with its owner's rights.
--
-- They are written as CASE on purpose: the planner takes it for one row in two. Of the same rule as AND and OR it thinks
-- that next to nothing passes, and then sorts a whole organisation where it could walk an index for one page.

-- -- for whom

CREATE FUNCTION asker() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('veritas.user_id', true), '')::uuid;
CREATE FUNCTION asker_organisation() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('veritas.organisation_id', true), '')::uuid;
CREATE FUNCTION asker_view() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('veritas.view', true), '');
COMMENT ON FUNCTION asker_view() IS 'Always as (SELECT asker_view()): read once a statement, not once a row.';

-- -- what is reached, by whom: these views are the rule, with their owner's rights

-- Exams whose candidates the asker may see.
CREATE VIEW reached_exams AS
SELECT id AS exam_id FROM exams
WHERE organisation_id = (SELECT asker_organisation()) AND (SELECT asker_view()) = 'organisation'
UNION ALL
SELECT id FROM exams WHERE creator_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
UNION ALL
SELECT exam_id FROM teacher_exam_permissions WHERE teacher_id = (SELECT asker()) AND can_view AND (SELECT asker_view()) = 'staff';

-- Exams whose candidates the asker observes: the form to fill in, not what else hangs on them.
CREATE VIEW observed_exams AS
SELECT exam_id FROM teacher_exam_permissions
WHERE teacher_id = (SELECT asker()) AND can_view AND (SELECT asker_view()) = 'observer';

-- Attempts that the asker makes, or made.
CREATE VIEW own_attempts AS
SELECT id, exam_id, evaluation_version_id FROM exam_attempts WHERE student_id = (SELECT asker());

-- Assignments that reach the asker as a candidate.
CREATE VIEW reaching_assignments AS
SELECT id, exam_id, revoked_at FROM assignments
WHERE user_id = (SELECT asker()) OR group_id IN (SELECT group_id FROM group_members WHERE user_id = (SELECT asker()));

-- Exams that were assigned to anybody: to the others they are closed. It tells nothing else, so that everybody may ask; a
-- candidate who asked `assignments` would see their own only, and take a closed exam for an open one.
CREATE VIEW restricted_exams AS SELECT exam_id FROM assignments;

-- Evaluations that the asker wrote, or administers; and those that an exam of theirs points at.
CREATE VIEW authored_evaluations AS
SELECT id FROM evaluations
WHERE CASE (SELECT asker_view())
          WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
          WHEN 'staff' THEN creator_id = (SELECT asker())
      END;
CREATE VIEW reached_versions AS
SELECT x.evaluation_version_id, v.evaluation_id
FROM exams x
JOIN evaluation_versions v ON v.id = x.evaluation_version_id
WHERE x.id IN (SELECT exam_id FROM reached_exams);

-- Questions in the asker's evaluations, whoever wrote them: publishing must not lose one.
CREATE VIEW gathered_questions AS
SELECT i.question_id
FROM evaluations e
JOIN evaluation_versions v ON v.evaluation_id = e.id
JOIN evaluation_items i ON i.evaluation_version_id = v.id
WHERE e.creator_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff';

-- Proctor sessions that the asker may see; the policy of proctor_sessions says the same.
CREATE VIEW seen_sessions AS
SELECT s.* FROM proctor_sessions s
WHERE CASE (SELECT asker_view())
          WHEN 'system' THEN true
          WHEN 'organisation' THEN s.organisation_id = (SELECT asker_organisation())
          WHEN 'staff' THEN EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = s.exam_id)
          ELSE s.candidate_id = (SELECT asker())
      END;

-- What hangs on a session is read through it: veritas_core loses these tables, and the session is looked at once, not once
-- for each of a million rows. TimescaleDB, moreover, compresses no table with row security, and its chunks would have the
-- table's grants without its policies.
CREATE VIEW seen_events AS
SELECT e.* FROM events e JOIN seen_sessions s ON s.id = e.session_id;
CREATE VIEW seen_monitoring_events AS
SELECT m.* FROM monitoring_events m JOIN seen_sessions s ON s.id = m.proctor_session_id;
CREATE VIEW seen_gaps AS
SELECT g.* FROM heartbeat_gaps g JOIN seen_sessions s ON s.id = g.session_id;
CREATE OR REPLACE VIEW session_overview WITH (security_invoker = false) AS
SELECT s.id, s.attempt_id, s.exam_id, e.title AS exam_title, s.candidate_id, u.full_name AS candidate_name,
       s.organisation_id, s.mode, s.status, s.started_at, s.ended_at, s.ip_address, s.browser_name, s.heartbeat_missed_count,
       coalesce(p.total_events, 0) AS total_events, coalesce(p.total_violations, 0) AS total_violations,
       coalesce(p.through_seq, 0) AS stored_through, p.first_event_at, p.last_event_at, p.last_heartbeat_at, p.clock_offset_us
FROM seen_sessions s
JOIN exams e ON e.id = s.exam_id
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id;

-- The statements ask of whom they answer only: what others view stays unsaid.
CREATE OR REPLACE VIEW exam_viewers WITH (security_invoker = false) AS
SELECT id AS exam_id, creator_id AS user_id FROM exams WHERE creator_id = (SELECT asker())
UNION ALL
SELECT exam_id, teacher_id FROM teacher_exam_permissions WHERE teacher_id = (SELECT asker()) AND can_view;

GRANT SELECT ON reached_exams, observed_exams, own_attempts, reaching_assignments, restricted_exams, reached_versions, authored_evaluations,
    gathered_questions, seen_sessions, seen_events, seen_monitoring_events, seen_gaps TO veritas_core;
REVOKE SELECT ON events, monitoring_events, event_analysis, session_progress, heartbeat_gaps FROM veritas_core;

-- -- on every table: the system's view, and the processes whose grants are their bound

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'organisations', 'users', 'student_profiles', 'teacher_profiles', 'groups', 'group_members',
        'logins', 'refresh_tokens', 'revocations', 'login_attempts', 'login_networks', 'launch_uses',
        'taxonomy_terms', 'passages', 'passage_versions', 'questions', 'question_versions', 'question_terms',
        'evaluations', 'evaluation_versions', 'evaluation_items',
        'exams', 'teacher_exam_permissions', 'assignments', 'assignment_overrides',
        'exam_attempts', 'attempt_answers', 'attempt_drafts',
        'submissions', 'submission_items', 'submission_scores', 'submission_subjects', 'submission_evidence',
        'proctor_sessions', 'reporting.attempt_activity',
        'ledger_events', 'ledger_salts', 'outbox']::regclass[]
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO veritas_core USING ((SELECT asker_view()) = ''system'')', guarded);
        EXECUTE format('CREATE POLICY granted ON %s TO veritas_ingest, veritas_pipeline, veritas_analyst USING (true)', guarded);
    END LOOP;
END
$$;

-- -- people

CREATE POLICY asker ON organisations TO veritas_core USING (id = (SELECT asker_organisation()));

-- Staff name any student of the organisation when they assign, and keep seeing whoever took their exam.
CREATE POLICY asker ON users TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation') THEN organisation_id = (SELECT asker_organisation())
                WHEN (SELECT asker_view()) = 'observer' THEN organisation_id = (SELECT asker_organisation())
                                                             AND (role = 'student' OR id = (SELECT asker()))
                ELSE id = (SELECT asker()) END)
    WITH CHECK (organisation_id = (SELECT asker_organisation())
                AND (id = (SELECT asker()) OR (SELECT asker_view()) = 'organisation'));
CREATE POLICY asker ON student_profiles TO veritas_core
    USING (user_id = (SELECT asker())
           OR ((SELECT asker_view()) = 'organisation' AND EXISTS (SELECT FROM users u WHERE u.id = user_id)));
CREATE POLICY asker ON teacher_profiles TO veritas_core
    USING (user_id = (SELECT asker())
           OR ((SELECT asker_view()) = 'organisation' AND EXISTS (SELECT FROM users u WHERE u.id = user_id)));
CREATE POLICY asker ON logins TO veritas_core
    USING (user_id = (SELECT asker())
           OR ((SELECT asker_view()) = 'organisation' AND EXISTS (SELECT FROM users u WHERE u.id = user_id)));
CREATE POLICY asker ON revocations TO veritas_core
    USING (user_id = (SELECT asker())
           OR ((SELECT asker_view()) = 'organisation' AND EXISTS (SELECT FROM users u WHERE u.id = user_id)));
-- refresh_tokens, login_attempts, login_networks, launch_uses: only signing in reads them, and it has no asker.

CREATE POLICY asker ON groups TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation') THEN organisation_id = (SELECT asker_organisation()) END);
CREATE POLICY asker ON group_members TO veritas_core
    USING (user_id = (SELECT asker()) OR EXISTS (SELECT FROM groups g WHERE g.id = group_id));

-- -- content

CREATE POLICY asker ON taxonomy_terms TO veritas_core
    USING (CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation') THEN organisation_id = (SELECT asker_organisation()) END);
CREATE POLICY asker ON questions TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN creator_id = (SELECT asker())
                                 OR id IN (SELECT question_id FROM gathered_questions)
           END);
CREATE POLICY asker ON question_versions TO veritas_core
    USING (EXISTS (SELECT FROM questions q WHERE q.id = question_id));
CREATE POLICY asker ON question_terms TO veritas_core
    USING (EXISTS (SELECT FROM questions q WHERE q.id = question_id));
CREATE POLICY asker ON passages TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN creator_id = (SELECT asker())
                                 OR id IN (SELECT v.passage_id FROM question_versions v JOIN gathered_questions g ON g.question_id = v.question_id)
           END);
CREATE POLICY asker ON passage_versions TO veritas_core
    USING (EXISTS (SELECT FROM passages p WHERE p.id = passage_id));

CREATE POLICY asker ON evaluations TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN creator_id = (SELECT asker())
                                 OR id IN (SELECT evaluation_id FROM reached_versions)
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation())
                AND ((SELECT asker_view()) = 'organisation' OR creator_id = (SELECT asker())));
CREATE POLICY asker ON evaluation_versions TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'candidate' THEN EXISTS (SELECT FROM own_attempts a WHERE a.evaluation_version_id = evaluation_versions.id)
               WHEN 'observer' THEN EXISTS (SELECT FROM exams x WHERE x.evaluation_version_id = evaluation_versions.id)
               ELSE EXISTS (SELECT FROM authored_evaluations e WHERE e.id = evaluation_id)
                    OR id IN (SELECT evaluation_version_id FROM reached_versions)
           END)
    WITH CHECK (EXISTS (SELECT FROM authored_evaluations e WHERE e.id = evaluation_id));
CREATE POLICY asker ON evaluation_items TO veritas_core
    USING (EXISTS (SELECT FROM evaluation_versions v WHERE v.id = evaluation_version_id));

-- -- exams and who may take them

CREATE POLICY asker ON exams TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN creator_id = (SELECT asker()) OR EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = exams.id)
               WHEN 'observer' THEN EXISTS (SELECT FROM observed_exams o WHERE o.exam_id = exams.id)
               WHEN 'candidate' THEN EXISTS (SELECT FROM own_attempts t WHERE t.exam_id = exams.id)
                                     OR (is_published AND organisation_id = (SELECT asker_organisation())
                                         AND (EXISTS (SELECT FROM reaching_assignments s WHERE s.exam_id = exams.id AND s.revoked_at IS NULL)
                                              OR NOT EXISTS (SELECT FROM restricted_exams r WHERE r.exam_id = exams.id)))
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation())
                AND CASE (SELECT asker_view())
                        WHEN 'organisation' THEN true
                        WHEN 'staff' THEN creator_id = (SELECT asker()) OR EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = exams.id)
                    END);
CREATE POLICY asker ON teacher_exam_permissions TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = teacher_exam_permissions.exam_id)
               WHEN 'staff' THEN teacher_id = (SELECT asker())
           END)
    WITH CHECK ((SELECT asker_view()) = 'organisation'
                AND EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = teacher_exam_permissions.exam_id));
CREATE POLICY asker ON assignments TO veritas_core
    USING (CASE (SELECT asker_view()) WHEN 'candidate' THEN id IN (SELECT id FROM reaching_assignments)
                                      ELSE EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = assignments.exam_id) END)
    WITH CHECK (EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = assignments.exam_id));
CREATE POLICY asker ON assignment_overrides TO veritas_core
    USING (user_id = (SELECT asker())
           OR EXISTS (SELECT FROM assignments a JOIN reached_exams r ON r.exam_id = a.exam_id WHERE a.id = assignment_id))
    WITH CHECK (EXISTS (SELECT FROM assignments a JOIN reached_exams r ON r.exam_id = a.exam_id WHERE a.id = assignment_id));

-- -- attempts and what hangs on them

CREATE POLICY asker ON exam_attempts TO veritas_core
    USING (CASE (SELECT asker_view()) WHEN 'candidate' THEN student_id = (SELECT asker())
                                      ELSE EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = exam_attempts.exam_id) END);
-- Until it is handed in, an answer is its candidate's alone.
CREATE POLICY asker ON attempt_answers TO veritas_core
    USING (EXISTS (SELECT FROM own_attempts a WHERE a.id = attempt_id));
CREATE POLICY asker ON attempt_drafts TO veritas_core
    USING (EXISTS (SELECT FROM own_attempts a WHERE a.id = attempt_id));

CREATE POLICY asker ON submissions TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = submissions.exam_id)
               ELSE author_id = (SELECT asker())
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation()) AND author_id = (SELECT asker()));
CREATE POLICY asker ON submission_items TO veritas_core
    USING (EXISTS (SELECT FROM submissions s WHERE s.id = submission_id));
CREATE POLICY asker ON submission_scores TO veritas_core
    USING (EXISTS (SELECT FROM submissions s WHERE s.id = submission_id));
CREATE POLICY asker ON submission_subjects TO veritas_core
    USING (EXISTS (SELECT FROM submissions s WHERE s.id = submission_id));
CREATE POLICY asker ON submission_evidence TO veritas_core
    USING (EXISTS (SELECT FROM submissions s WHERE s.id = submission_id));

-- -- proctoring

CREATE POLICY asker ON proctor_sessions TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = proctor_sessions.exam_id)
               ELSE candidate_id = (SELECT asker())
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation())
                AND (candidate_id = (SELECT asker()) OR (SELECT asker_view()) = 'organisation'));
CREATE POLICY asker ON reporting.attempt_activity TO veritas_core
    USING (EXISTS (SELECT FROM reached_exams r WHERE r.exam_id = attempt_activity.exam_id));

-- -- the ledger: an asker appends to their organisation's, and reads what they did and what is about them

CREATE POLICY asker ON ledger_events TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               ELSE actor_id = (SELECT asker()) OR subject_id = (SELECT asker())
           END)
    WITH CHECK (organisation_id = (SELECT asker_organisation()));
CREATE POLICY asker ON ledger_salts TO veritas_core
    USING ((SELECT asker_view()) = 'organisation' AND EXISTS (SELECT FROM ledger_events e WHERE e.id = event_id))
    WITH CHECK ((SELECT asker()) IS NOT NULL);      -- written with the event, by the same statement
CREATE POLICY asker ON outbox TO veritas_core
    USING (false)
    WITH CHECK (organisation_id = (SELECT asker_organisation()));

-- What these two refuse rests on what is there, not on what the asker sees of it.
ALTER FUNCTION refuse_published_items() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION refuse_unpublished_evaluation() SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE ALL ON FUNCTION refuse_published_items(), refuse_unpublished_evaluation() FROM PUBLIC;

-- -- what no statement of a process uses is taken back

REVOKE SELECT ON dead_letters, stream_losses, stream_offsets, stream_epochs FROM veritas_core;
REVOKE SELECT (id, exam_id, student_id, status, started_at, expires_at) ON exam_attempts FROM veritas_ingest;
REVOKE SELECT ON stream_losses FROM veritas_ingest;
REVOKE SELECT (id, organisation_id, role, full_name) ON users FROM veritas_pipeline;
REVOKE SELECT ON organisations, exams, exam_attempts, monitoring_events, heartbeat_gaps, stream_offsets FROM veritas_pipeline;
REVOKE SELECT, INSERT, UPDATE ON event_analysis FROM veritas_pipeline;
REVOKE SELECT, DELETE ON outbox FROM veritas_pipeline;
REVOKE INSERT ON ledger_events, ledger_salts FROM veritas_pipeline;
REVOKE DELETE ON ledger_salts FROM veritas_pipeline;

-- -- a missing reference

-- A group that was deleted under its assignments gets a name back: without the assignments the exam would open to everybody.
INSERT INTO groups (id, organisation_id, name, description)
SELECT DISTINCT a.group_id, e.organisation_id, 'Deleted group ' || a.group_id, 'Its assignments still keep exams closed.'
FROM assignments a
JOIN exams e ON e.id = a.exam_id
WHERE a.group_id IS NOT NULL AND NOT EXISTS (SELECT FROM groups g WHERE g.id = a.group_id);
ALTER TABLE assignments ADD FOREIGN KEY (group_id) REFERENCES groups;
CREATE INDEX assignments_of_group ON assignments (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX assignments_of_user ON assignments (user_id) WHERE user_id IS NOT NULL;
