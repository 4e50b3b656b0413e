-- Origins of pages that may call: as an admin sets them, and as every HTTP process learns of them.

-- name: fetch_allowed
-- $1 organisation uuid. No row where none were ever set.
SELECT origins FROM allowed_origins WHERE organisation_id = $1;

-- name: set_allowed
-- $1 organisation uuid, $2 origins text[]. By the database's clock: whoever asks for changes compares with nothing else.
INSERT INTO allowed_origins (organisation_id, origins, changed_at) VALUES ($1, $2, now())
ON CONFLICT (organisation_id) DO UPDATE SET origins = excluded.origins, changed_at = excluded.changed_at;

-- name: list_changed
-- $1 since timestamptz. Organisations whose origins have changed since, with all of them.
SELECT organisation_id::text, origins, changed_at FROM allowed_origins WHERE changed_at >= $1;
