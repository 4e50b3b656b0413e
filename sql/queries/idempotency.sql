-- Keys under which somebody asked for something once.

-- name: forget_keys
-- $1 user, $2 before timestamptz
DELETE FROM idempotency_keys WHERE user_id = $1 AND claimed_at < $2;

-- name: claim_key
-- $1 user, $2 key, $3 hash of the request, $4 now, $5 keys at most
-- No row comes back when the key is known, or the account has as many as it may. Whoever claims the same key meanwhile waits.
INSERT INTO idempotency_keys (user_id, key, request, claimed_at)
SELECT $1::uuid, $2::text, $3::bytea, $4::timestamptz
WHERE (SELECT count(*) FROM idempotency_keys WHERE user_id = $1) < $5::integer
ON CONFLICT (user_id, key) DO NOTHING
RETURNING key;

-- name: fetch_key
-- $1 user, $2 key
SELECT request, status, reply FROM idempotency_keys WHERE user_id = $1 AND key = $2;

-- name: keep_reply
-- $1 user, $2 key, $3 status, $4 reply bytea
UPDATE idempotency_keys SET status = $3, reply = $4 WHERE user_id = $1 AND key = $2;
