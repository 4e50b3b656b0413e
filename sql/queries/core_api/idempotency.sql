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
-- `request` is its hash. No row comes back when the key is known, or the account has as many as it may; a sign-in that is
-- bound to an exam uses up none of the person's own. Whoever claims the same key meanwhile waits.
INSERT INTO idempotency_keys (user_id, key, exam_id, request, claimed_at)
SELECT :user_id::uuid, :key::text, :exam_id::uuid, :request::bytea, :now::timestamptz
WHERE (SELECT count(*) FROM idempotency_keys
       WHERE user_id = :user_id AND exam_id IS NOT DISTINCT FROM :exam_id) < :keys_max::integer
ON CONFLICT (user_id, key, exam_id) DO NOTHING
RETURNING key;

-- name: fetch_key
SELECT request, status, reply FROM idempotency_keys
WHERE user_id = :user_id AND key = :key AND exam_id IS NOT DISTINCT FROM :exam_id;

-- name: keep_reply
UPDATE idempotency_keys SET status = :status, reply = :reply
WHERE user_id = :user_id AND key = :key AND exam_id IS NOT DISTINCT FROM :exam_id;
