-- A Soft session is opened for whoever may post to it: the candidate of the attempt, or a service of the exam's
-- organisation. Knowing an attempt's id is not enough. candidate is null for a service.
CREATE FUNCTION open_soft_session(attempt uuid, organisation uuid, candidate uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
    SELECT a.id, a.exam_id, a.student_id, e.organisation_id, 1, now()
    FROM exam_attempts a JOIN exams e ON e.id = a.exam_id
    WHERE a.id = attempt AND a.status = 'in_progress' AND e.organisation_id = organisation
      AND (candidate IS NULL OR a.student_id = candidate)
    ON CONFLICT (attempt_id, mode) DO UPDATE SET mode = excluded.mode
    RETURNING id
$$;
REVOKE ALL ON FUNCTION open_soft_session(uuid, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_soft_session(uuid, uuid, uuid) TO veritas_ingest;
REVOKE EXECUTE ON FUNCTION open_soft_session(uuid) FROM veritas_ingest;
