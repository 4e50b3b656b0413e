-- A session that is opened for whoever posts first is as strict as the policy that its attempt began under: Advanced where
-- that demands it, none where the attempt is not proctored. Soft for attempts older than policies.
CREATE OR REPLACE FUNCTION open_soft_session(attempt uuid, organisation uuid, candidate uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
    SELECT a.id, a.exam_id, a.student_id, e.organisation_id, coalesce((a.policy ->> 'monitoring_mode')::smallint, 1), now()
    FROM exam_attempts a JOIN exams e ON e.id = a.exam_id
    WHERE a.id = attempt AND a.status = 'in_progress' AND e.organisation_id = organisation
      AND (candidate IS NULL OR a.student_id = candidate)
      AND coalesce((a.policy ->> 'monitoring_mode')::smallint, 1) > 0
    ON CONFLICT (attempt_id, mode) DO UPDATE SET mode = excluded.mode
    RETURNING id
$$;
