-- What waits for a review, in its order: a row from the end of a session, and of its attempt, to its final decision (spec.md C-1).
-- Kept by triggers, so that nobody who ends, scores or decides knows of it; what is over costs a reader nothing. It holds what the
-- queue is sorted and filtered by: a page is read along an index, whatever row security makes of the tables beside it.

CREATE TABLE pending_reviews (
    session_id      bigint PRIMARY KEY,
    attempt_id      uuid NOT NULL,              -- down to ended_at: the session's
    exam_id         uuid NOT NULL,
    candidate_id    uuid NOT NULL,
    organisation_id uuid NOT NULL,
    ended_at        timestamptz NOT NULL,
    rank            double precision NOT NULL   -- the peak of its score; -1: not scored
);
CREATE INDEX pending_reviews_organisation ON pending_reviews (organisation_id, rank DESC, session_id);
CREATE INDEX pending_reviews_exam ON pending_reviews (exam_id, rank DESC, session_id);
COMMENT ON TABLE pending_reviews IS 'Sessions that have ended and have no final decision, by their peak of risk.';

ALTER TABLE pending_reviews ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON pending_reviews TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY asker ON pending_reviews TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
GRANT SELECT ON pending_reviews TO veritas_core;

-- Of a session and its attempt the one that ends second brings it; whoever ends the attempt ends or awaits its sessions first.
-- Called at each hand-in, twice: plpgsql keeps its plan.
CREATE FUNCTION await_review(of_attempt uuid) RETURNS void
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
CREATE FUNCTION await_review_of_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM await_review(NEW.attempt_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER awaits_review AFTER UPDATE OF status ON proctor_sessions FOR EACH ROW
    WHEN (OLD.status <> 2 AND NEW.status = 2) EXECUTE FUNCTION await_review_of_session();
CREATE TRIGGER awaits_review_at_once AFTER INSERT ON proctor_sessions FOR EACH ROW
    WHEN (NEW.status = 2) EXECUTE FUNCTION await_review_of_session();
CREATE FUNCTION await_review_of_attempt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM await_review(NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER awaits_review AFTER UPDATE OF status ON exam_attempts FOR EACH ROW
    WHEN (OLD.status = 'in_progress' AND NEW.status <> 'in_progress') EXECUTE FUNCTION await_review_of_attempt();

CREATE FUNCTION end_review() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM pending_reviews WHERE session_id = NEW.session_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER ends_review AFTER INSERT OR UPDATE ON proctor_decisions FOR EACH ROW
    WHEN (NEW.is_finalized) EXECUTE FUNCTION end_review();

-- A score that rises while its session ends meets no row yet, and the row not the score: what is folded once the session has
-- ended, which comes after, writes the state with that end, and so the rank is set again.
CREATE FUNCTION rank_reviews() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE pending_reviews p SET rank = r.peak_risk_score
    FROM changed c JOIN reporting.session_risk r USING (session_id)
    WHERE p.session_id = c.session_id AND p.rank IS DISTINCT FROM r.peak_risk_score;
    RETURN NULL;
END
$$;
CREATE TRIGGER ranked_at_first AFTER INSERT ON reporting.session_risk REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rank_reviews();
CREATE TRIGGER ranked AFTER UPDATE ON reporting.session_risk REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rank_reviews();
CREATE TRIGGER ranked_at_first AFTER INSERT ON reporting.risk_states REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rank_reviews();
CREATE TRIGGER ranked AFTER UPDATE ON reporting.risk_states REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rank_reviews();
REVOKE ALL ON FUNCTION await_review, await_review_of_session, await_review_of_attempt, end_review, rank_reviews FROM PUBLIC;

SELECT await_review(id) FROM exam_attempts WHERE status <> 'in_progress';
