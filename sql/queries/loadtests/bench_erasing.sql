-- Statements of the benchmark of what goes: a person, and events past their policy.

-- name: find_person
-- $1 how many attempts. Whoever has about as many, and how many those are.
SELECT student_id, count(*)::int AS attempts FROM exam_attempts GROUP BY student_id ORDER BY abs(count(*) - $1::int), student_id LIMIT 1;

-- name: ask_to_erase
-- $1 person, $2 who asks, $3 moment
INSERT INTO erasures (id, organisation_id, person_id, requested_by, requested_at, stepped_at)
SELECT gen_random_uuid(), organisation_id, id, $2, $3::timestamptz, $3 FROM users WHERE id = $1;

-- name: read_step
SELECT step, taken::text AS taken FROM erasures;

-- name: note_hot
-- Of sessions that were laid in bulk, what the trigger notes of each that ends.
INSERT INTO hot_sessions (session_id, attempt_id, organisation_id, ended_at)
SELECT id, attempt_id, organisation_id, ended_at FROM proctor_sessions WHERE ended_at IS NOT NULL ON CONFLICT DO NOTHING;
