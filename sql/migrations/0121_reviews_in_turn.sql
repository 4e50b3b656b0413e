-- As before, and the review is numbered once those before it are there: whoever waited has counted too early.
CREATE OR REPLACE FUNCTION check_observation_review() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM step_observation(NEW.submission_id, NEW.verdict);
    IF NOT EXISTS (SELECT FROM submissions s WHERE s.id = NEW.submission_id AND s.kind = 'observation'
                   AND (s.organisation_id, s.exam_id, s.author_id) = (NEW.organisation_id, NEW.exam_id, NEW.observer_id)) THEN
        RAISE EXCEPTION 'Not a review of this observation' USING ERRCODE = 'check_violation', CONSTRAINT = 'observation_reviewed';
    END IF;
    NEW.number := 1 + (SELECT count(*) FROM observation_reviews r WHERE r.submission_id = NEW.submission_id);
    RETURN NEW;
END
$$;
