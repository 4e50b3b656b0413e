-- What a recommendation rests on (spec.md R-5, R-7): the rules that sessions met, and how often reviewers upheld them.

-- Upheld are final Suspicious and Invalidated, cleared is final Cleared. Numbers of the asker's organisation alone; in its owner's
-- name, because what became of a rule is told of all exams, of which a reviewer may see one.
CREATE FUNCTION fired_rules(sessions bigint[])
    RETURNS TABLE (session_id bigint, rule_id bigint, name_en text, name_ar text, triggers integer, upheld bigint, cleared bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH fired AS (
        SELECT f.session_id, f.rule_id, f.version, f.triggers
        FROM reporting.session_rule_fires f
        WHERE f.session_id = ANY (sessions) AND f.organisation_id = asker_organisation()
          AND asker_view() IN ('staff', 'organisation') AND EXISTS (SELECT FROM seen_sessions s WHERE s.id = f.session_id)
    ), standing AS (
        SELECT f.rule_id, count(*) FILTER (WHERE d.status IN (3, 4)) AS upheld, count(*) FILTER (WHERE d.status = 2) AS cleared
        FROM reporting.session_rule_fires f
        JOIN proctor_decisions d ON d.session_id = f.session_id AND d.is_finalized
        WHERE f.rule_id IN (SELECT x.rule_id FROM fired x)
        GROUP BY f.rule_id
    )
    SELECT f.session_id, f.rule_id, v.name_en, v.name_ar, f.triggers, coalesce(s.upheld, 0), coalesce(s.cleared, 0)
    FROM fired f
    JOIN risk_rule_versions v ON v.rule_id = f.rule_id AND v.version = f.version
    LEFT JOIN standing s ON s.rule_id = f.rule_id
$$;
REVOKE ALL ON FUNCTION fired_rules FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fired_rules TO veritas_core;
