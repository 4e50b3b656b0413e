-- What is thought of each attempt (spec.md W-1; V, behavior_analysis): for its exam's staff and admins, never for candidates.

-- The same columns as the Parquet dataset; warehouse/datasets/behavior_analysis.py says what each means.
CREATE TABLE reporting.behavior_analysis (
    attempt_id                    uuid PRIMARY KEY,
    exam_id                       uuid NOT NULL,
    student_id                    uuid NOT NULL,
    completed_at                  timestamptz,
    total_monitoring_events       bigint,
    anomaly_count                 bigint,
    critical_events               bigint,
    peak_risk_score               double precision,
    risk_level                    text CHECK (risk_level IN ('Low', 'Medium', 'High', 'Critical')),
    integrity_score               double precision CHECK (integrity_score BETWEEN 0 AND 1),
    integrity_band                text CHECK (integrity_band IN ('consistent', 'review_optional', 'concerns', 'needs_review')),
    originality_indicators        jsonb,
    lmi_score                     double precision,
    improvement_trend             text CHECK (improvement_trend IN ('improving', 'stagnant', 'declining')),
    dropout_label                 text CHECK (dropout_label IN ('safe', 'incapable', 'copy', 'no_interest')),
    dropout_confidence            double precision CHECK (dropout_confidence BETWEEN 0 AND 1),
    llm_summary                   text,
    llm_recommendations           text,
    llm_model_version             text NOT NULL,
    requires_instructor_attention boolean NOT NULL,
    requires_recap                boolean,
    flagged                       boolean NOT NULL,
    recommended_action            text NOT NULL
                                  CHECK (recommended_action IN ('none', 'flag_for_review', 'priority_review', 'immediate_attention')),
    alerts                        jsonb NOT NULL,       -- [{"code", "rank", "value", "threshold", "n", "text"}], most urgent first
    alert_rank                    smallint,
    metric_version                text NOT NULL,
    coverage                      double precision NOT NULL,
    reasons                       jsonb NOT NULL,       -- [{"code", "value", "threshold", "n", "text"}]
    as_of                         timestamptz
);
CREATE INDEX behavior_analysis_exam ON reporting.behavior_analysis (exam_id, attempt_id);
CREATE INDEX behavior_analysis_student ON reporting.behavior_analysis (student_id, completed_at, attempt_id);
CREATE INDEX behavior_analysis_flagged ON reporting.behavior_analysis (exam_id, alert_rank, attempt_id) WHERE alert_rank IS NOT NULL;

ALTER TABLE reporting.behavior_analysis ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON reporting.behavior_analysis TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON reporting.behavior_analysis TO veritas_pipeline, veritas_analyst USING (true);
CREATE POLICY asker ON reporting.behavior_analysis TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN EXISTS (SELECT FROM organisation_exams o WHERE o.exam_id = behavior_analysis.exam_id)
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
GRANT SELECT ON reporting.behavior_analysis TO veritas_core, veritas_analyst;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON reporting.behavior_analysis TO veritas_pipeline;
