-- Exams and students in a row each (V, performance_metrics, exam_performance_summary, student_risk_summary).

-- What each submission that counts has put into its exam's sums, so that it can be taken out again; whole numbers all.
CREATE TABLE reporting.exam_parts (
    attempt_id   uuid PRIMARY KEY,
    exam_id      uuid NOT NULL,
    student_id   uuid NOT NULL,
    finalised_at timestamptz NOT NULL,
    as_of        timestamptz NOT NULL,
    percentage   bigint,                                -- thousandths; null: not scored
    passed       boolean,
    integrity    bigint,                                -- millionths; null: not known
    label        text
) WITH (fillfactor = 80);
CREATE INDEX exam_parts_student ON reporting.exam_parts (exam_id, student_id);
CREATE INDEX exam_parts_finalised ON reporting.exam_parts (exam_id, finalised_at);
CREATE INDEX exam_parts_reach ON reporting.exam_parts (exam_id, as_of);

CREATE TABLE reporting.exam_sums (
    exam_id     uuid PRIMARY KEY,
    version     text NOT NULL,                          -- of what the sums are
    attempts    bigint NOT NULL,
    students    bigint NOT NULL,
    scored      bigint NOT NULL,
    percentage  bigint NOT NULL,                        -- sum, thousandths
    passed      bigint NOT NULL,
    judged      bigint NOT NULL,                        -- whose integrity is known
    integrity   bigint NOT NULL,                        -- sum, millionths
    labelled    bigint NOT NULL,
    copy        bigint NOT NULL,
    incapable   bigint NOT NULL,
    no_interest bigint NOT NULL
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.exam_parts, reporting.exam_sums TO veritas_pipeline;

CREATE TABLE reporting.exam_performance_summary (
    exam_id           uuid PRIMARY KEY,
    organisation_id   uuid NOT NULL,
    title             text NOT NULL,
    subject           text NOT NULL,
    unique_students   bigint NOT NULL,
    total_attempts    bigint NOT NULL,
    scored_attempts   bigint NOT NULL,
    avg_score         double precision,
    pass_rate         double precision,
    avg_integrity     double precision,
    high_risk_count   bigint,
    copy_count        bigint,
    incapable_count   bigint,
    no_interest_count bigint,
    last_attempt      timestamptz,
    metric_version    text NOT NULL,
    coverage          double precision NOT NULL,
    reasons           jsonb NOT NULL,
    as_of             timestamptz
) WITH (fillfactor = 80);
CREATE INDEX exam_performance_summary_organisation ON reporting.exam_performance_summary (organisation_id);
SELECT reporting.guard('reporting.exam_performance_summary');

CREATE TABLE reporting.performance_metrics (
    student_id               uuid PRIMARY KEY,
    organisation_id          uuid NOT NULL,
    total_attempts           bigint NOT NULL,
    total_passed             bigint NOT NULL,
    avg_score                double precision,
    subject_scores           jsonb NOT NULL,
    strengths                jsonb,
    weaknesses               jsonb,
    improvement_trend        text,
    avg_integrity_score      double precision,
    integrity_trend          text,
    avg_lmi                  double precision,
    lmi_trend                text,
    current_risk_label       text,
    flagged_for_intervention boolean,
    last_attempt_date        timestamptz NOT NULL,
    metric_version           text NOT NULL,
    coverage                 double precision NOT NULL,
    reasons                  jsonb NOT NULL,
    as_of                    timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX performance_metrics_organisation ON reporting.performance_metrics (organisation_id);
CREATE INDEX performance_metrics_flagged ON reporting.performance_metrics (organisation_id) WHERE flagged_for_intervention;
SELECT reporting.guard('reporting.performance_metrics');

CREATE TABLE reporting.student_risk_summary (
    student_id           uuid PRIMARY KEY,
    organisation_id      uuid NOT NULL,
    current_dropout_risk text,
    cumulative_integrity double precision,
    cumulative_lmi       double precision,
    attempt_count        bigint NOT NULL,
    flagged_count        bigint NOT NULL,
    last_attempt         timestamptz,
    metric_version       text NOT NULL,
    coverage             double precision NOT NULL,
    reasons              jsonb NOT NULL,
    as_of                timestamptz
) WITH (fillfactor = 80);
CREATE INDEX student_risk_summary_organisation ON reporting.student_risk_summary (organisation_id);
SELECT reporting.guard('reporting.student_risk_summary');
GRANT SELECT (id, organisation_id) ON users TO veritas_pipeline;
