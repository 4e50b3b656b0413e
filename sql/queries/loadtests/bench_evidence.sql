-- The benchmark of evidence looks at what it has stored.

-- name: list_stored
SELECT object_key, sha256 FROM evidence_chunks WHERE stored_at IS NOT NULL;
