-- Commands for clients, on their way to the stream's server; what is true stands here.

-- name: take_untold
-- $1 shards in all, $2 owned shards, $3 how many. Sessions of commands that are new, or were confirmed. They count as told with
-- the caller's transaction, which tells; whoever confirms meanwhile waits for it, and leaves them untold again.
UPDATE session_commands SET told_at = now()
WHERE id = ANY (ARRAY(SELECT id FROM session_commands
                      WHERE told_at IS NULL AND (session_id % $1::int) = ANY($2::int[])
                      ORDER BY id LIMIT $3
                      FOR UPDATE SKIP LOCKED))
RETURNING session_id;

-- name: read_open
-- $1 sessions
SELECT session_id, coalesce(open_commands(session_id), '') AS commands FROM unnest($1::bigint[]) AS given (session_id);

-- name: hear_session_commands
LISTEN session_commands;
