-- How long an organisation keeps evidence, beside its events (spec.md G-1, decision 12). A further kind of what grows old is a column
-- here and in `retention_rules`, a view of what is due and why it stays, and a branch of `retention_forecast`.

ALTER TABLE retention_policies
    ADD COLUMN evidence_days integer NOT NULL DEFAULT 90 CHECK (evidence_days BETWEEN 1 AND 3650);  -- after the attempt
GRANT UPDATE (evidence_days) ON retention_policies TO veritas_core;

-- As before, and the columns that came after 0102 behind.
CREATE OR REPLACE VIEW retention_rules AS
SELECT o.id AS organisation_id, coalesce(p.events_days, 90) AS events_days, p.set_by, p.set_at,
       coalesce(p.evidence_days, 90) AS evidence_days
FROM organisations o
LEFT JOIN retention_policies p ON p.organisation_id = o.id;

-- As before, with all columns of the view, whichever it has.
-- squawk-ignore ban-drop-function
DROP FUNCTION own_retention_rule;
CREATE FUNCTION own_retention_rule() RETURNS SETOF retention_rules
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.* FROM retention_rules r
    WHERE r.organisation_id = asker_organisation() AND asker_view() = 'organisation'
$$;
REVOKE ALL ON FUNCTION own_retention_rule FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_retention_rule TO veritas_core;

-- As before where a further number is its default: what was committed to stays so.
CREATE OR REPLACE FUNCTION record_of_retention_policy(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'policy', json_build_array(p.events_days, p.set_by, p.set_at)::text
                     || CASE WHEN p.evidence_days <> 90 THEN ' evidence ' || p.evidence_days ELSE '' END
    FROM retention_policies p WHERE p.organisation_id = of_id::uuid;
END
$$;

-- As before: of each kind what is due at that moment, as its view says.
CREATE OR REPLACE FUNCTION retention_forecast(of_organisation uuid, at timestamptz) RETURNS TABLE (
    organisation_id uuid, what text, days integer, why text, pieces bigint, total bigint, oldest timestamptz, newest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.organisation_id, k.what, k.days, k.why, count(*), sum(k.amount)::bigint, min(k.first_at), max(k.last_at)
    FROM (
        SELECT d.organisation_id, 'events' AS what, d.days, d.why, d.total_events AS amount, d.first_at, d.last_at
        FROM event_retention d
        WHERE d.ended_at < at AND d.due_at <= at
    ) k
    WHERE of_organisation IS NULL OR k.organisation_id = of_organisation
    GROUP BY k.organisation_id, k.what, k.days, k.why
    ORDER BY 1, 2, 4 NULLS FIRST
$$;
