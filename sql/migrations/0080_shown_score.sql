-- The one number of risk that a deployment may show to candidates (spec.md, decision 6; show_numbers_to_candidates): a session's
-- score as it was last computed. Ingest reads nothing else of risk, and asks for the session of whoever has just sent to it.

CREATE FUNCTION shown_score(of_session bigint) RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT risk_score::float8 FROM reporting.session_risk WHERE session_id = of_session
$$;
REVOKE ALL ON FUNCTION shown_score FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shown_score TO veritas_ingest;
