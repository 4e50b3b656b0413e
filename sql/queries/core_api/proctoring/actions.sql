-- What staff did in a session, and what its client has to confirm.

-- name: list_actions
-- Newest first; the caller has checked that the session is theirs to see.
SELECT a.id, a.kind AS action, a.reason, a.acted_by, u.full_name AS acted_by_name, a.acted_at, c.text_en, c.text_ar, c.expires_at,
       c.paused_until, c.told_at, c.confirmed_at
FROM session_actions a
LEFT JOIN session_commands c ON c.id = a.id
LEFT JOIN users u ON u.id = a.acted_by
WHERE a.session_id = :session_id AND (:cursor::bigint IS NULL OR a.id < :cursor)
  AND (NOT :unconfirmed OR (c.id IS NOT NULL AND c.confirmed_at IS NULL))
ORDER BY a.id DESC
LIMIT :limit;

-- name: list_open_commands
-- $1 sessions, $2 how many of each. The newest that nobody has confirmed, oldest first.
SELECT o.*
FROM unnest($1::bigint[]) AS given (session_id)
CROSS JOIN LATERAL (
    SELECT c.session_id, c.id, c.kind, c.text_en, c.text_ar, c.created_at, c.expires_at, c.paused_until
    FROM session_commands c
    WHERE c.session_id = given.session_id AND c.confirmed_at IS NULL
    ORDER BY c.id DESC
    LIMIT $2
) o
ORDER BY o.session_id, o.id;

-- name: find_own_session
-- $1 session, $2 candidate
SELECT id FROM proctor_sessions WHERE id = $1 AND candidate_id = $2;

-- name: confirm
-- $1 session, $2 command, $3 at. The first time stays.
UPDATE session_commands SET confirmed_at = coalesce(confirmed_at, $3) WHERE session_id = $1 AND id = $2
RETURNING id, session_id AS proctor_session_id, confirmed_at;
