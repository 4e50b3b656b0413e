-- Whose answers are more alike than chance explains (spec.md W-1): for staff of the exam, never for candidates.
-- warehouse/datasets/answer_similarity.py and collusion_clusters.py say what each column means.

CREATE TABLE reporting.answer_similarity (
    organisation_id          uuid NOT NULL,
    exam_id                  uuid NOT NULL,
    form_id                  uuid,
    attempt_a                uuid NOT NULL,
    attempt_b                uuid NOT NULL,
    student_a                uuid NOT NULL,
    student_b                uuid NOT NULL,
    items                    bigint NOT NULL,
    answered_both            bigint NOT NULL,
    right_a                  bigint NOT NULL,
    right_b                  bigint NOT NULL,
    matches                  bigint NOT NULL,
    expected_matches         double precision NOT NULL,
    omega                    double precision NOT NULL,
    identical_wrong          bigint NOT NULL,
    expected_identical_wrong double precision NOT NULL,
    longest_run              bigint NOT NULL,
    run_begins               bigint NOT NULL,
    p                        double precision NOT NULL,
    q                        double precision NOT NULL,
    is_similar               boolean NOT NULL,
    is_best_of_a             boolean NOT NULL,
    is_best_of_b             boolean NOT NULL,
    pairs                    bigint NOT NULL,
    similar_pairs            bigint NOT NULL,
    inflation                double precision NOT NULL,
    overlap_s                double precision,
    same_address             boolean,
    same_device              boolean,
    second_factor            boolean,
    metric_version           text NOT NULL,
    coverage                 double precision NOT NULL,
    reasons                  jsonb NOT NULL,            -- [{"code", "value", "threshold", "n", "text"}]
    as_of                    timestamptz NOT NULL,
    PRIMARY KEY (attempt_a, attempt_b)
) WITH (fillfactor = 80);
CREATE INDEX answer_similarity_exam ON reporting.answer_similarity (exam_id, q, attempt_a, attempt_b);
CREATE INDEX answer_similarity_other ON reporting.answer_similarity (attempt_b);
SELECT reporting.guard('reporting.answer_similarity');

CREATE TABLE reporting.collusion_clusters (
    cluster_id           uuid PRIMARY KEY,
    organisation_id      uuid NOT NULL,
    exam_id              uuid NOT NULL,
    form_id              uuid,
    attempt_ids          uuid[] NOT NULL,               -- ascending
    student_ids          uuid[] NOT NULL,               -- in the order of attempt_ids
    size                 bigint NOT NULL,
    pairs                bigint NOT NULL,
    density              double precision NOT NULL,
    most_matches         bigint NOT NULL,
    most_identical_wrong bigint NOT NULL,
    strongest_p          double precision NOT NULL,
    weakest_q            double precision NOT NULL,
    second_factor_pairs  bigint,
    metric_version       text NOT NULL,
    coverage             double precision NOT NULL,
    reasons              jsonb NOT NULL,                -- [{"code", "value", "threshold", "n", "text"}]
    as_of                timestamptz NOT NULL
);
CREATE INDEX collusion_clusters_exam ON reporting.collusion_clusters (exam_id, cluster_id);
SELECT reporting.guard('reporting.collusion_clusters');
