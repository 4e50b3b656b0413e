-- What an organisation holds about a person, for the person and for whoever answers them (spec.md G-2).

-- The tables with rows of people: what a row leads to, by which column; what is theirs to have, and what nobody gets. The same in
-- `kernel/personal.py` and `kernel/theirs.py`, as a test sees.
CREATE FUNCTION personal_tables() RETURNS TABLE (place text, leads_to text, by_column text, theirs text[], secret text[])
    LANGUAGE sql IMMUTABLE AS $$
    SELECT v.place, v.leads_to, v.by_column, v.theirs::text[], v.secret::text[] FROM (VALUES
        ('users', 'person', 'id', '{id,email,username,full_name,role,is_active,is_verified,last_login,last_login_ip,metadata,created_at,source_id}', '{password_hash,token_generation,standing}'),
        ('student_profiles', 'person', 'user_id', '{user_id,enrollment_id,cohort}', '{}'),
        ('teacher_profiles', 'person', 'user_id', '{user_id,title,department}', '{}'),
        ('logins', 'person', 'user_id', '{id,user_id,created_at,expires_at,revoked_at}', '{}'),
        ('refresh_tokens', 'login', 'login_id', '{}', '{sha256}'),
        ('invitations', 'person', 'user_id', '{}', '{sha256}'),
        ('launch_uses', 'person', 'user_id', '{user_id,exam_id,used_at,address}', '{jti,agent_sha256}'),
        ('revocations', 'person', 'user_id', '{}', '{mark}'),
        ('idempotency_keys', 'person', 'user_id', '{}', '{key,request,reply}'),
        ('assignment_overrides', 'person', 'user_id', '{assignment_id,user_id,opens_at,closes_at,duration_minutes,extra_minutes,attempts_allowed,created_at}', '{}'),
        ('assignments', 'person', 'user_id', '{id,exam_id,user_id,opens_at,closes_at,duration_minutes,extra_minutes,attempts_allowed,created_at,revoked_at}', '{}'),
        ('exam_attempts', 'person', 'student_id', '{id,exam_id,student_id,attempt_number,status,started_at,expires_at,completed_at,duration_seconds,submitted_by}', '{}'),
        ('attempt_answers', 'attempt', 'attempt_id', '{attempt_id,question_id,client_seq,response,saved_at}', '{}'),
        ('attempt_drafts', 'attempt', 'attempt_id', '{attempt_id,question_id,client_seq,response,saved_at}', '{}'),
        ('attempt_pauses', 'attempt', 'attempt_id', '{}', '{}'),
        ('time_grants', 'attempt', 'attempt_id', '{}', '{}'),
        ('submissions', 'attempt', 'attempt_id', '{id,kind,exam_id,attempt_id,content_sha256,finalised_at}', '{content,idempotency_key,body_sha256}'),
        ('submission_items', 'submission', 'submission_id', '{submission_id,position,question_id,kind,response,client_seq,saved_at,seconds}', '{}'),
        ('submission_drafts', 'submission', 'submission_id', '{submission_id,position,version,text,saved_at}', '{}'),
        ('submission_scores', 'submission', 'submission_id', '{}', '{}'),
        ('submission_subjects', 'submission', 'submission_id', '{}', '{}'),
        ('proctor_sessions', 'attempt', 'attempt_id', '{id,attempt_id,exam_id,mode,started_at,ended_at,device_fingerprint,user_agent,browser_name,browser_version,operating_system,screen_resolution,ip_address}', '{}'),
        ('events', 'session', 'session_id', '{}', '{}'),
        ('dead_letters', 'session', 'session_id', '{}', '{}'),
        ('session_quarantines', 'session', 'session_id', '{}', '{}'),
        ('session_progress', 'session', 'session_id', '{}', '{}'),
        ('session_notices', 'session', 'session_id', '{}', '{}'),
        ('session_clients', 'session', 'session_id', '{}', '{}'),
        ('heartbeat_gaps', 'session', 'session_id', '{}', '{}'),
        ('gap_marks', 'session', 'session_id', '{}', '{}'),
        ('dirty_sessions', 'session', 'session_id', '{}', '{}'),
        ('detections', 'session', 'session_id', '{}', '{}'),
        ('evidence', 'session', 'session_id', '{id,session_id,type,status,file_name,content_type,start_at,end_at,duration_seconds,metadata,chunk_count,size_bytes,sha256,requested_at,expires_at}', '{}'),
        ('evidence_chunks', 'evidence', 'evidence_id', '{}', '{object_key}'),
        ('session_actions', 'session', 'session_id', '{}', '{}'),
        ('session_commands', 'session', 'session_id', '{id,session_id,kind,text_en,text_ar,created_at,told_at,confirmed_at}', '{}'),
        ('proctor_decisions', 'attempt', 'attempt_id', '{}', '{}'),
        ('decision_acts', 'decision', 'decision_id', '{}', '{}'),
        ('blind_reviews', 'attempt', 'attempt_id', '{}', '{}'),
        ('claims', 'attempt', 'attempt_id', '{id,submission_id,attempt_id,subject,state,opened_at,state_at,deadline_at}', '{}'),
        ('claim_statements', 'claim', 'claim_id', '{claim_id,number,side,text,evidence_ids,said_at}', '{}'),
        ('disputes', 'claim', 'claim_id', '{claim_id,raised,raised_at}', '{}'),
        ('resolutions', 'claim', 'claim_id', '{claim_id,number,outcome,text_en,text_ar,resolved_at}', '{}'),
        ('appeal_bundles', 'claim', 'claim_id', '{}', '{}'),
        ('legal_holds', 'person', 'user_id', '{}', '{}'),
        ('observation_reviews', 'submission', 'submission_id', '{}', '{}'),
        ('observation_drafts', 'person', 'observer_id', '{id,exam_id,content,version,created_at,updated_at}', '{}'),
        ('programme_enrolments', 'person', 'user_id', '{id,programme_id,version,user_id,state,enrolled_at,state_at}', '{}'),
        ('programme_enrolment_progress', 'enrolment', 'enrolment_id', '{enrolment_id,number,key,state,counted,needed,submission_ids,lapses_at,judged_at}', '{}'),
        ('risk_adjustments', 'attempt', 'attempt_id', '{}', '{}'),
        ('risk_snapshots', 'session', 'session_id', '{}', '{}'),
        ('alert_acknowledgements', 'attempt', 'attempt_id', '{}', '{}'),
        ('erasures', 'person', 'person_id', '{}', '{}'),
        ('ledger_salts', 'person', 'person_id', '{}', '{salt}'),
        ('reporting.written_texts', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.behavior_analysis', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.submission_items', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.submissions', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.draft_passages', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.draft_analysis', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.form_shares', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.leaving_scores', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.attempt_activity', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.exam_parts', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.learning_momentum', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.response_times', 'attempt', 'attempt_id', '{}', '{}'),
        ('reporting.calibration_shares', 'session', 'session_id', '{}', '{}'),
        ('reporting.session_cells', 'session', 'session_id', '{}', '{}'),
        ('reporting.session_folds', 'session', 'session_id', '{}', '{}'),
        ('reporting.session_risk', 'session', 'session_id', '{}', '{}'),
        ('reporting.risk_states', 'session', 'session_id', '{}', '{}'),
        ('reporting.performance_metrics', 'person', 'student_id', '{}', '{}'),
        ('reporting.student_risk_summary', 'person', 'student_id', '{}', '{}')
    ) v (place, leads_to, by_column, theirs, secret)
$$;

-- Rows about a person, table by table: to themselves what is theirs, to an admin of theirs all but secrets.
CREATE FUNCTION held_about(of_person uuid, is_own boolean) RETURNS TABLE (place text, state text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part record;
    owned text;
BEGIN
    IF NOT coalesce(CASE WHEN is_own THEN of_person = asker() AND asker_exam() IS NULL
                         ELSE asker_view() = 'organisation'
                              AND EXISTS (SELECT FROM users u WHERE u.id = of_person AND u.organisation_id = asker_organisation())
                    END, false) THEN
        RAISE EXCEPTION 'this asker has nothing of %', of_person USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR part IN SELECT * FROM personal_tables() p WHERE NOT is_own OR p.theirs <> '{}' LOOP
        owned := CASE part.leads_to
            WHEN 'person' THEN 'SELECT $1'
            WHEN 'attempt' THEN 'SELECT id FROM exam_attempts WHERE student_id = $1'
            WHEN 'session' THEN 'SELECT id FROM proctor_sessions WHERE candidate_id = $1'
            WHEN 'submission' THEN 'SELECT id FROM submissions WHERE author_id = $1'
                || CASE WHEN is_own THEN '' ELSE ' UNION SELECT submission_id FROM submission_subjects WHERE subject_id = $1' END
            WHEN 'evidence' THEN 'SELECT e.id FROM evidence e JOIN proctor_sessions s ON s.id = e.session_id WHERE s.candidate_id = $1'
            WHEN 'decision' THEN 'SELECT id FROM proctor_decisions WHERE candidate_id = $1'
            WHEN 'claim' THEN 'SELECT id FROM claims WHERE candidate_id = $1'
            WHEN 'login' THEN 'SELECT id FROM logins WHERE user_id = $1'
            WHEN 'enrolment' THEN 'SELECT id FROM programme_enrolments WHERE user_id = $1'
        END;
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, (SELECT jsonb_object_agg(c.key, c.value) FROM jsonb_each(to_jsonb(t)) c
                               WHERE CASE WHEN $2 THEN c.key = ANY ($3) ELSE c.key <> ALL ($4) END)::text
             FROM %s t WHERE t.%I IN (%s) ORDER BY 2', part.place, part.place, part.by_column, owned)
        USING of_person, is_own, part.theirs, part.secret;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION personal_tables, held_about FROM PUBLIC;
GRANT EXECUTE ON FUNCTION held_about TO veritas_core;
