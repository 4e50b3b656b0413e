-- What the ledger records of risk: a rule with all its versions, and what a rule weighs in somebody's attempt.

CREATE FUNCTION record_of_risk_rule(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'rule', json_build_array(r.organisation_id, r.created_by, r.created_at, r.deleted_at)::text
    FROM risk_rules r WHERE r.id = of_id::bigint
    UNION ALL
    SELECT 'version ' || v.version, json_build_array(
        v.id, v.organisation_id, v.name_en, v.name_ar, v.description_en, v.description_ar, v.is_active, v.event_type,
        v.threshold_count, v.window_seconds, v.risk_points, v.min_severity, v.max_triggers, v.priority, v.gap_class, v.created_by,
        v.created_at)::text
    FROM risk_rule_versions v WHERE v.rule_id = of_id::bigint;
END
$$;

CREATE FUNCTION record_of_risk_adjustment(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'adjustment', json_build_array(a.attempt_id, a.rule_id, a.percent, a.reason, a.created_by, a.created_at)::text
    FROM risk_adjustments a WHERE a.id = of_id::bigint;
END
$$;

REVOKE ALL ON FUNCTION record_of_risk_rule, record_of_risk_adjustment FROM PUBLIC;

-- Whoever changes what a rule weighs in an attempt says that its sessions' scores are stale.
GRANT INSERT (session_id) ON dirty_sessions TO veritas_core;
