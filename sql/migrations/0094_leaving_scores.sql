-- What a model of leaving gave each candidate at a cut-off, by the last attempt that they had handed in to the cohort then: it is
-- told by `veritas model apply`, and kept, since what others of the cohort had done by then is not computed again with a row.
-- Where it is lost, labels are those of the cold start until a model is applied again.

CREATE TABLE reporting.leaving_scores (
    attempt_id     uuid PRIMARY KEY,
    cohort_id      uuid NOT NULL,
    cut_off        timestamptz NOT NULL,
    horizon_days   integer NOT NULL CHECK (horizon_days > 0),
    probability    double precision NOT NULL CHECK (probability > 0 AND probability < 1),
    reasons        text NOT NULL,                       -- JSON list
    done_share     double precision,
    done_share_p10 double precision,                    -- the cohort's
    model_version  text NOT NULL,                       -- with a hash of the model's file
    scored_at      timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.leaving_scores TO veritas_pipeline;
