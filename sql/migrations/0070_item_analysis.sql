-- How items and tests measured (spec.md W-1), and the sums that this is made of. warehouse/datasets/ says what each column means.

CREATE TABLE reporting.item_analysis (
    exam_id             uuid NOT NULL,
    organisation_id     uuid NOT NULL,
    form_id             uuid NOT NULL,
    position            integer NOT NULL,
    question_id         uuid NOT NULL,
    question_version_id uuid NOT NULL,
    kind                text NOT NULL,
    key                 text,
    max_points          double precision NOT NULL,
    n                   bigint NOT NULL,
    difficulty          double precision,
    omitted             bigint NOT NULL,
    point_biserial      double precision,
    biserial            double precision,
    d27                 double precision,
    alpha_if_deleted    double precision,
    distractors         jsonb,                          -- [{"option", "is_key", "chosen", "share", "r"}]
    timed               bigint NOT NULL,
    median_seconds      double precision,
    nt10_share          double precision,
    dif_delta           double precision,
    dif_class           text CHECK (dif_class IN ('A', 'B', 'C')),
    flags               text[] NOT NULL,
    metric_version      text NOT NULL,
    coverage            double precision NOT NULL,
    reasons             jsonb NOT NULL,                 -- [{"code", "value", "threshold", "n", "text"}]
    as_of               timestamptz NOT NULL,
    PRIMARY KEY (exam_id, form_id, question_version_id)
) WITH (fillfactor = 80);
SELECT reporting.guard('reporting.item_analysis');

CREATE TABLE reporting.test_statistics (
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    form_id         uuid NOT NULL,
    items           bigint NOT NULL,
    n               bigint NOT NULL,
    waiting         bigint NOT NULL,
    max_points      double precision NOT NULL,
    mean            double precision,
    median          double precision,
    sd              double precision,
    skew            double precision,
    lowest          double precision,
    highest         double precision,
    alpha           double precision,
    alpha_low       double precision,
    alpha_high      double precision,
    sem             double precision,
    total_passed    bigint,
    pass_rate       double precision CHECK (pass_rate BETWEEN 0 AND 1),
    distribution    jsonb,                              -- 20 numbers
    metric_version  text NOT NULL,
    coverage        double precision NOT NULL,
    reasons         jsonb NOT NULL,                     -- [{"code", "value", "threshold", "n", "text"}]
    as_of           timestamptz NOT NULL,
    PRIMARY KEY (exam_id, form_id)
) WITH (fillfactor = 80);
SELECT reporting.guard('reporting.test_statistics');

-- What the two are computed from: sums over the submissions to a form (pipeline/features/moments.py), packed, and what each
-- submission has put into them, so that it can be taken out as exactly. Both are written by an exam's turn alone.
CREATE TABLE reporting.form_tallies (
    exam_id uuid NOT NULL,
    form_id uuid NOT NULL,
    version text NOT NULL,                              -- of what is packed; another one is counted anew
    tally   bytea NOT NULL,
    PRIMARY KEY (exam_id, form_id)
) WITH (fillfactor = 50);

CREATE TABLE reporting.form_shares (
    submission_id uuid PRIMARY KEY,
    attempt_id    uuid NOT NULL,
    exam_id       uuid NOT NULL,
    form_id       uuid NOT NULL,
    as_of         timestamptz NOT NULL,                 -- of the submission, as it was counted
    share         bytea NOT NULL
);
CREATE INDEX form_shares_exam ON reporting.form_shares (exam_id, attempt_id);
CREATE INDEX form_shares_reach ON reporting.form_shares (exam_id, form_id, as_of);
ALTER TABLE reporting.form_tallies ALTER COLUMN tally SET STORAGE EXTERNAL;    -- both are compressed already
ALTER TABLE reporting.form_shares ALTER COLUMN share SET STORAGE EXTERNAL;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON reporting.form_tallies, reporting.form_shares TO veritas_pipeline;
