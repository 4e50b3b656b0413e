-- Contents of submissions that are past their policy.

-- name: list_due
-- $1 moment, $2 submissions that are left alone, $3 limit. Of the organisation that has the oldest, those whose contents may go, the
-- oldest first.
WITH due AS (
    SELECT submission_id, organisation_id, days, finalised_at
    FROM submission_retention
    WHERE finalised_at <= $1::timestamptz - days * interval '1 day' AND submission_id <> ALL ($2::uuid[]) AND why IS NULL
    ORDER BY finalised_at, submission_id
    LIMIT $3
)
SELECT submission_id, organisation_id, days FROM due
WHERE organisation_id = (SELECT organisation_id FROM due ORDER BY finalised_at, submission_id LIMIT 1)
ORDER BY submission_id;

-- name: take_contents
-- `bodies` are the events'. Null: something has come between.
SELECT take_contents(:organisation::uuid, :days::integer, :submissions::uuid[], :at::timestamptz, :ids::uuid[], :bodies::bytea[],
                     :salts::bytea[], :places::integer[]) AS taken;
