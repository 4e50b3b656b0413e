-- Runtime state of attempts that is past its policy.

-- name: list_over
-- $1 moment, $2 attempts that are left alone, $3 limit. Of the organisation that has the oldest, those of which it may go, in the order of
-- their ids.
WITH due AS (
    SELECT attempt_id, organisation_id, days, ended_at
    FROM runtime_retention
    WHERE ended_at < $1 AND due_at <= $1 AND attempt_id <> ALL ($2::uuid[]) AND why IS NULL
    ORDER BY ended_at, attempt_id
    LIMIT $3
)
SELECT attempt_id, organisation_id, days FROM due
WHERE organisation_id = (SELECT organisation_id FROM due ORDER BY ended_at, attempt_id LIMIT 1)
ORDER BY attempt_id;

-- name: take_runtime
-- `body` is the event's. Null: something has come between.
SELECT take_runtime(:organisation::uuid, :days::integer, :attempts::uuid[], :at::timestamptz, :event_id::uuid, :body::bytea) AS taken;
