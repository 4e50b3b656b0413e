-- What a language model has worded of an attempt's reasons (spec.md, decision 16): it holds for these reasons alone. Where it is
-- lost, the text of the rules stands until a model is asked again.

CREATE TABLE reporting.written_texts (
    attempt_id      uuid PRIMARY KEY,
    facts_sha256    text NOT NULL,                      -- of the reasons that it rests on
    summary         text NOT NULL,
    recommendations text,
    model_version   text NOT NULL,
    written_at      timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.written_texts TO veritas_pipeline;
