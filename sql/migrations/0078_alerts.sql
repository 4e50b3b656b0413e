-- Who has looked at what alerts (V, GET /teacher/alerts), and whose exams' analytics somebody may see.

-- Exams whose analytics the asker may see: their own, those that a teacher was granted it of, the organisation's.
CREATE VIEW analysed_exams AS
SELECT id AS exam_id FROM exams WHERE organisation_id = (SELECT asker_organisation()) AND (SELECT asker_view()) = 'organisation'
UNION ALL
SELECT id FROM exams WHERE creator_id = (SELECT asker()) AND (SELECT asker_view()) = 'staff'
UNION ALL
SELECT exam_id FROM teacher_exam_permissions
WHERE teacher_id = (SELECT asker()) AND can_view AND can_view_analytics AND (SELECT asker_view()) = 'staff';
GRANT SELECT ON analysed_exams TO veritas_core;
CREATE FUNCTION analysed_exam_ids() RETURNS SETOF uuid LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 AS $$
BEGIN
    RETURN QUERY SELECT exam_id FROM public.analysed_exams;
END
$$;
COMMENT ON FUNCTION analysed_exam_ids() IS 'analysed_exams, planned once a session.';

-- The alerts of an attempt that somebody has looked at; what alerts afterwards is not among them.
CREATE TABLE alert_acknowledgements (
    attempt_id      uuid PRIMARY KEY REFERENCES exam_attempts,
    exam_id         uuid NOT NULL REFERENCES exams,     -- both the attempt's
    organisation_id uuid NOT NULL REFERENCES organisations,
    codes           text[] NOT NULL CHECK (cardinality(codes) > 0),
    note            text NOT NULL DEFAULT '' CHECK (length(note) <= 1000),
    acknowledged_by uuid NOT NULL REFERENCES users,
    acknowledged_at timestamptz NOT NULL
);
ALTER TABLE alert_acknowledgements ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON alert_acknowledgements TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON alert_acknowledgements TO veritas_pipeline, veritas_analyst USING (true);
CREATE POLICY asker ON alert_acknowledgements TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN organisation_id = (SELECT asker_organisation())
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
CREATE POLICY by_oneself ON alert_acknowledgements AS RESTRICTIVE FOR INSERT TO veritas_core
    WITH CHECK ((SELECT asker_view()) = 'system' OR acknowledged_by = (SELECT asker()));
CREATE POLICY by_oneself_again ON alert_acknowledgements AS RESTRICTIVE FOR UPDATE TO veritas_core
    USING (true) WITH CHECK ((SELECT asker_view()) = 'system' OR acknowledged_by = (SELECT asker()));
GRANT SELECT, INSERT, UPDATE (codes, note, acknowledged_by, acknowledged_at) ON alert_acknowledgements TO veritas_core;

-- In the order of the list: the most urgent, then the latest.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX behavior_analysis_alerts ON reporting.behavior_analysis
    (alert_rank, (coalesce(completed_at, '9999-01-01 00:00:00Z'::timestamptz)) DESC, attempt_id) WHERE alert_rank IS NOT NULL;
