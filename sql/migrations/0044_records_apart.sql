-- What a record covers is a function of its own, `record_of_<record>`: a migration that adds a record adds that function and
-- repeats none. It is called below record_hashes alone, whose settings (search_path, timezone) hold in it. A definition is never
-- changed: events were made with it.

CREATE FUNCTION record_of_submission(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'submission', json_build_array(
        s.id, s.kind, s.organisation_id, s.exam_id, s.attempt_id, s.author_id, s.submitted_by, s.idempotency_key,
        encode(s.body_sha256, 'hex'), s.version_snapshot, encode(sha256(s.content), 'hex'), encode(s.content_sha256, 'hex'),
        s.event_id, s.finalised_at)::text
    FROM submissions s WHERE s.id = of_id::uuid
    UNION ALL
    SELECT 'item ' || i.position, json_build_array(
        i.question_id, i.question_version_id, i.kind, i.response, i.client_seq, i.saved_at, i.points, i.max_points)::text
    FROM submission_items i WHERE i.submission_id = of_id::uuid
    UNION ALL
    SELECT 'score ' || c.revision, json_build_array(
        c.scoring_version, c.item_points, c.points, c.max_points, c.ungraded, c.score, c.percentage, c.passed, c.reason,
        c.scored_by, c.scored_at)::text
    FROM submission_scores c WHERE c.submission_id = of_id::uuid
    UNION ALL
    SELECT 'subject ' || b.subject_id, b.kind FROM submission_subjects b WHERE b.submission_id = of_id::uuid
    UNION ALL
    SELECT 'evidence ' || v.evidence_id, json_build_array(v.position)::text
    FROM submission_evidence v WHERE v.submission_id = of_id::uuid
    UNION ALL
    SELECT 'outcome', json_build_array(a.status, a.submitted_by, a.completed_at, a.duration_seconds, a.score, a.percentage,
                                       a.passed, a.submission_data)::text
    FROM submissions s JOIN exam_attempts a ON a.id = s.attempt_id WHERE s.id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_attempt(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'attempt', json_build_array(a.exam_id, a.student_id, a.started_at, a.expires_at, a.evaluation_version_id,
                                       a.attempt_number, a.policy, a.max_score, a.status = 'abandoned')::text
    FROM exam_attempts a WHERE a.id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_session(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'session', json_build_array(p.attempt_id, p.exam_id, p.candidate_id, p.organisation_id, p.mode, p.status,
                                       p.started_at, p.ended_at)::text
    FROM proctor_sessions p WHERE p.id = of_id::bigint;
END
$$;

CREATE FUNCTION record_of_exam(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'exam', json_build_array(x.organisation_id, x.creator_id, x.title, x.description, x.subject, x.topic, x.max_score,
                                    x.duration_minutes, x.passing_score, x.is_published, x.published_at, x.enable_monitoring,
                                    x.enable_integrity_analysis, x.metadata, x.evaluation_version_id, x.archived_at)::text
    FROM exams x WHERE x.id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_permission(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'permission', json_build_array(t.can_view, t.can_edit, t.can_view_analytics)::text
                         || CASE WHEN t.can_manage_students THEN ' manages students' ELSE '' END
    FROM teacher_exam_permissions t WHERE t.exam_id = of_id::uuid AND t.teacher_id = of_subject;
END
$$;

-- Of one exam: who was assigned, under which terms; as one, there may be many.
CREATE FUNCTION record_of_assignments(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'assignments', string_agg(json_build_array(
        a.id, a.user_id, a.group_id, a.opens_at, a.closes_at, a.duration_minutes, a.extra_minutes, a.attempts_allowed,
        a.monitoring_mode, a.rule_exemptions, a.created_by, a.created_at)::text, E'\n' ORDER BY a.id)
    FROM assignments a WHERE a.exam_id = of_id::uuid;
END
$$;

-- What became of one: taken back, and the exceptions made to it.
CREATE FUNCTION record_of_assignment(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'assignment', json_build_array(a.revoked_at)::text FROM assignments a WHERE a.id = of_id::uuid
    UNION ALL
    SELECT 'override ' || o.user_id, json_build_array(
        o.opens_at, o.closes_at, o.duration_minutes, o.extra_minutes, o.attempts_allowed, o.monitoring_mode, o.rule_exemptions,
        o.reason, o.created_by, o.created_at)::text
    FROM assignment_overrides o WHERE o.assignment_id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_question(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'question', json_build_array(q.organisation_id, q.creator_id, q.archived_at,
        (SELECT json_agg(t.term_id ORDER BY t.term_id) FROM question_terms t WHERE t.question_id = q.id))::text
    FROM questions q WHERE q.id = of_id::uuid
    UNION ALL
    SELECT 'version ' || v.version, json_build_array(
        v.id, v.kind, v.content, v.key, v.points, v.passage_id, v.created_by, v.created_at)::text
    FROM question_versions v WHERE v.question_id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_passage(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'passage', json_build_array(p.organisation_id, p.creator_id, p.archived_at)::text
    FROM passages p WHERE p.id = of_id::uuid
    UNION ALL
    SELECT 'version ' || v.version, json_build_array(v.id, v.title, v.body, v.created_by, v.created_at)::text
    FROM passage_versions v WHERE v.passage_id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_term(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'term', json_build_array(t.organisation_id, t.kind, t.name, t.parent_id, t.created_by, t.created_at)::text
    FROM taxonomy_terms t WHERE t.id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_evaluation_version(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'evaluation version', json_build_array(
        v.evaluation_id, e.organisation_id, e.creator_id, v.version, v.title, v.status, v.paper, v.key, v.max_points,
        encode(v.snapshot_sha256, 'hex'), v.created_by, v.created_at, v.published_at)::text
    FROM evaluation_versions v JOIN evaluations e ON e.id = v.evaluation_id WHERE v.id = of_id::uuid
    UNION ALL
    SELECT 'item ' || i.position, json_build_array(i.question_id, i.question_version_id, i.points)::text
    FROM evaluation_items i WHERE i.evaluation_version_id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_user(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'user', json_build_array(u.organisation_id, u.email, u.username, u.full_name, u.role, u.is_active, u.is_verified,
                                    u.metadata, encode(sha256(convert_to(u.password_hash, 'UTF8')), 'hex'))::text
    FROM users u WHERE u.id = of_id::uuid
    UNION ALL
    SELECT 'teacher profile', json_build_array(t.title, t.department)::text FROM teacher_profiles t WHERE t.user_id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_student_profile(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'student profile', json_build_array(s.enrollment_id, s.cohort)::text
    FROM student_profiles s WHERE s.user_id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_group(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'group', json_build_array(g.organisation_id, g.name, g.description, g.created_at)::text
    FROM groups g WHERE g.id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_group_member(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'member', json_build_array(m.added_at)::text
    FROM group_members m WHERE m.group_id = of_id::uuid AND m.user_id = of_subject;
END
$$;

CREATE FUNCTION record_of_organisation(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'organisation', json_build_array(o.name, o.registration_open)::text
    FROM organisations o WHERE o.id = of_id::uuid;
END
$$;

CREATE FUNCTION record_of_allowed_origins(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'allowed origins', json_build_array(a.origins)::text
    FROM allowed_origins a WHERE a.organisation_id = of_id::uuid;
END
$$;

REVOKE ALL ON FUNCTION
    record_of_submission, record_of_attempt, record_of_session, record_of_exam, record_of_permission,
    record_of_assignments, record_of_assignment, record_of_question, record_of_passage, record_of_term,
    record_of_evaluation_version, record_of_user, record_of_student_profile, record_of_group, record_of_group_member,
    record_of_organisation, record_of_allowed_origins
    FROM PUBLIC;

-- A record that has no function is an error, and the act that would be recorded fails with it.
CREATE OR REPLACE FUNCTION record_rows(of_record text, of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM %I($1, $2)', 'record_of_' || of_record) USING of_id, of_subject;
END
$$;
