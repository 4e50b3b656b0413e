-- What rules weigh in an attempt, in one place (spec.md R-6): for scores, their replay, recommendations and the detector.

-- Rules that weigh otherwise than all others do: nothing where the policy exempts them, whatever was agreed since, else as the
-- newest adjustment says; up to the adjustment `through`, where that is given. What a caller may not see of the attempt does not
-- count. Nothing but one SELECT, so that it is planned as part of the statement that asks.
CREATE FUNCTION rule_weights(of_attempt uuid, through bigint DEFAULT NULL) RETURNS TABLE (rule_id bigint, percent integer)
    LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (w.rule_id) w.rule_id, w.percent
    FROM (
        SELECT x.value::bigint AS rule_id, 0 AS percent, NULL::bigint AS adjustment_id
        FROM exam_attempts t
        CROSS JOIN jsonb_array_elements_text(t.policy -> 'rule_exemptions') x
        WHERE t.id = of_attempt
        UNION ALL
        SELECT a.rule_id, a.percent, a.id FROM risk_adjustments a WHERE a.attempt_id = of_attempt AND (through IS NULL OR a.id <= through)
    ) w
    ORDER BY w.rule_id, w.adjustment_id DESC NULLS FIRST
$$;
REVOKE ALL ON FUNCTION rule_weights FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rule_weights TO veritas_core, veritas_pipeline;
