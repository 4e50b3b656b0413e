-- Erasures of people, as admins ask for them and look at them.

-- name: find_erasure
-- $1 person
SELECT id FROM erasures WHERE person_id = $1;

-- name: find_hindrance
-- $1 person. What keeps them from being erased; null: nothing.
SELECT erasure_hindered_by($1) AS why;

-- name: forget_attempts
-- $1 digests of what they sign in by: what throttling counts goes at once.
DELETE FROM login_attempts WHERE account = ANY ($1::bytea[]);

-- name: insert_erasure
INSERT INTO erasures (id, organisation_id, person_id, requested_by, requested_at, stepped_at)
VALUES (:id, :organisation, :person, :by, :now::timestamptz, :now);

-- name: fetch_erasure
-- $1 person, $2 organisation
SELECT id, person_id AS user_id, status, step, taken::text AS taken,
       CASE WHEN status <> 'done' THEN erasure_hindered_by(person_id) END AS waits_for, requested_by, requested_at, done_at
FROM erasures WHERE person_id = $1 AND organisation_id = $2;
