-- How a rule fared with those who decide is counted in one place: for its page, for the warehouse, and for a session's recommendation.

CREATE FUNCTION rule_fared(of_rule bigint)
    RETURNS TABLE (fired bigint, upheld bigint, cleared bigint, overturned bigint, last_decided_at timestamptz)
    LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT count(*), count(*) FILTER (WHERE d.is_finalized AND d.status IN (3, 4)),
           count(*) FILTER (WHERE d.is_finalized AND d.status = 2),
           count(*) FILTER (WHERE d.is_finalized AND d.status = 2 AND d.previous_status IN (3, 4)),
           max(greatest(d.decided_at, d.overridden_at))
    FROM reporting.session_rule_fires f
    LEFT JOIN proctor_decisions d ON d.session_id = f.session_id
    WHERE f.rule_id = of_rule
$$;
REVOKE ALL ON FUNCTION rule_fared FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rule_fared TO veritas_core, veritas_pipeline;
COMMENT ON FUNCTION rule_fared IS
    'In how many sessions a rule fired, how many of these were finally upheld (suspicious or invalidated), cleared, or cleared by an '
    'override of the former, and when any of them was last decided: of the sessions that the asker may see.';

CREATE OR REPLACE FUNCTION fired_rules(sessions bigint[])
    RETURNS TABLE (session_id bigint, rule_id bigint, name_en text, name_ar text, triggers integer, upheld bigint, cleared bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH fired AS (
        SELECT f.session_id, f.rule_id, f.version, f.triggers
        FROM reporting.session_rule_fires f
        WHERE f.session_id = ANY (sessions) AND f.organisation_id = asker_organisation()
          AND asker_view() IN ('staff', 'organisation') AND EXISTS (SELECT FROM seen_sessions s WHERE s.id = f.session_id)
          AND NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = f.session_id)
    ), standing AS (
        SELECT r.rule_id, s.upheld, s.cleared
        FROM (SELECT DISTINCT x.rule_id FROM fired x) r
        CROSS JOIN LATERAL rule_fared(r.rule_id) s
    )
    SELECT f.session_id, f.rule_id, v.name_en, v.name_ar, f.triggers, s.upheld, s.cleared
    FROM fired f
    JOIN risk_rule_versions v ON v.rule_id = f.rule_id AND v.version = f.version
    JOIN standing s ON s.rule_id = f.rule_id
$$;
