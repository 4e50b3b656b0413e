-- Keys under which somebody asked for something once. `exam` is the one that their sign-in is bound to, or null.

-- name: forget_keys
-- $1 user, $2 before timestamptz
DELETE FROM idempotency_keys WHERE user_id = $1 AND claimed_at < $2;

-- name: delete_old_keys
-- $1 before timestamptz, $2 rows at most: the oldest of anybody's. How many there were comes back.
WITH gone AS (
    DELETE FROM idempotency_keys
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys WHERE claimed_at < $1
                            ORDER BY claimed_at LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: claim_key
-- $1 user, $2 key, $3 exam, $4 hash of the request, $5 now, $6 keys at most
-- No row comes back when the key is known, or the account has as many as it may; a sign-in that is bound to an exam uses up none
-- of the person's own. Whoever claims the same key meanwhile waits.
INSERT INTO idempotency_keys (user_id, key, exam_id, request, claimed_at)
SELECT $1::uuid, $2::text, $3::uuid, $4::bytea, $5::timestamptz
WHERE (SELECT count(*) FROM idempotency_keys WHERE user_id = $1 AND exam_id IS NOT DISTINCT FROM $3) < $6::integer
ON CONFLICT (user_id, key, exam_id) DO NOTHING
RETURNING key;

-- name: fetch_key
-- $1 user, $2 key, $3 exam
SELECT request, status, reply FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND exam_id IS NOT DISTINCT FROM $3;

-- name: keep_reply
-- $1 user, $2 key, $3 exam, $4 status, $5 reply bytea
UPDATE idempotency_keys SET status = $4, reply = $5 WHERE user_id = $1 AND key = $2 AND exam_id IS NOT DISTINCT FROM $3;
