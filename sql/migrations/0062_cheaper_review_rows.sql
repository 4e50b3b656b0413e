-- As before, planned once a session of the server: it is called at each hand-in, twice.
CREATE OR REPLACE FUNCTION await_review(of_attempt uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO pending_reviews (session_id, attempt_id, exam_id, candidate_id, organisation_id, ended_at, rank)
    SELECT s.id, s.attempt_id, s.exam_id, s.candidate_id, s.organisation_id, s.ended_at, coalesce(r.peak_risk_score, -1)
    FROM proctor_sessions s
    JOIN exam_attempts a ON a.id = s.attempt_id AND a.status <> 'in_progress'
    LEFT JOIN reporting.session_risk r ON r.session_id = s.id
    WHERE s.attempt_id = of_attempt AND s.status = 2
      AND NOT EXISTS (SELECT FROM proctor_decisions d WHERE d.session_id = s.id AND d.is_finalized)
    ON CONFLICT DO NOTHING;
END
$$;
