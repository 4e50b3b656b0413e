-- Texts that a language model writes.

-- name: list_unwritten
-- $1 model, $2 rows at most. Attempts with something to say that the model has not worded as they stand, the most urgent first.
SELECT attempt_id::text, reasons::text
FROM reporting.behavior_analysis
WHERE llm_model_version <> $1 AND llm_summary IS NOT NULL
ORDER BY alert_rank, attempt_id
LIMIT $2;

-- name: put_text
-- One text; the newest of an attempt holds.
INSERT INTO reporting.written_texts (attempt_id, facts_sha256, summary, recommendations, model_version)
VALUES (:attempt_id::text::uuid, :facts, :summary, :recommendations, :model)
ON CONFLICT (attempt_id) DO UPDATE SET
    facts_sha256 = excluded.facts_sha256, summary = excluded.summary, recommendations = excluded.recommendations,
    model_version = excluded.model_version, written_at = now();
