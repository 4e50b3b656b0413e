-- Candidates with whom nothing happens any more: who is due, and asking for their erasure.

-- name: count_asked
-- Erasures that no person has asked for, are not done, and go on.
SELECT count(*)::integer AS asked
FROM erasures WHERE status <> 'done' AND requested_by IS NULL AND erasure_hindered_by(person_id) IS NULL;

-- name: list_inactive
-- $1 moment, $2 limit. Who may go, the longest inactive first.
SELECT person_id, organisation_id, days, active_at
FROM inactive_people
WHERE looked_at <= $1 AND due_at <= $1 AND why IS NULL
ORDER BY due_at, person_id
LIMIT $2;

-- name: ask_inactive
-- `bodies` are the events'. False: something has come between.
SELECT ask_inactive(:person::uuid, :erasure::uuid, :days::integer, :since::timestamptz, :at::timestamptz, :kinds::text[],
                    :aggregate_types::text[], :aggregate_ids::text[], :ids::uuid[], :bodies::bytea[], :records::text[],
                    :salts::bytea[], :places::integer[]) AS asked;
