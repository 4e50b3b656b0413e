-- What the local stack, the demo, the benchmarks and the tests begin with: a statement a kind of row, however many rows.

-- name: make_organisation
-- $1 id uuid, $2 name text, $3 created_at timestamptz
-- The id of the organisation of that name, made if there is none. Names are not unique: the oldest wins.
WITH found AS (
    SELECT id FROM organisations WHERE name = $2 ORDER BY created_at, id LIMIT 1
), made AS (
    INSERT INTO organisations (id, name, created_at) SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM found) RETURNING id
)
SELECT id FROM found UNION ALL SELECT id FROM made;

-- name: upsert_users
-- `password_hashes`, null: no password. A row for each, in the order given. Somebody who is there already keeps id, role and
-- organisation, and takes a new password when one is given; a row of another organisation is left alone, and its id is null.
WITH given AS (
    SELECT * FROM unnest(:ids::uuid[], :emails::text[], :usernames::text[], :full_names::text[], :roles::text[],
                         :password_hashes::text[])
        WITH ORDINALITY AS given (id, email, username, full_name, role, password_hash, n)
), made AS (
    INSERT INTO users (organisation_id, id, email, username, full_name, role, password_hash, is_verified, created_at)
    SELECT :organisation, id, email, username, full_name, role, password_hash, true, :created_at FROM given
    ON CONFLICT (lower(email)) DO UPDATE
    SET password_hash = coalesce(excluded.password_hash, users.password_hash)
    WHERE users.organisation_id = excluded.organisation_id
    RETURNING id, lower(email) AS folded, role
)
SELECT made.id, made.role FROM given LEFT JOIN made ON made.folded = lower(given.email) ORDER BY given.n;

-- name: insert_group
WITH made AS (INSERT INTO groups (id, organisation_id, name, created_at) VALUES (:id, :organisation, :name, :at))
INSERT INTO group_members (group_id, user_id, added_at) SELECT :id, unnest(:members::uuid[]), :at;

-- name: make_exams
-- An id for each title, in the order given: of the oldest exam of that title, or of one that is made and published.
WITH given AS (
    SELECT * FROM unnest(:ids::uuid[], :titles::text[]) WITH ORDINALITY AS given (id, title, n)
), found AS (
    SELECT DISTINCT ON (title) title, id FROM exams
    WHERE organisation_id = :organisation AND title = ANY (:titles::text[])
    ORDER BY title, created_at, id
), made AS (
    INSERT INTO exams (id, organisation_id, creator_id, title, duration_minutes, is_published, published_at, created_at)
    SELECT id, :organisation, :creator_id, title, :duration_minutes, true, :at, :at FROM given
    WHERE NOT EXISTS (SELECT FROM found WHERE found.title = given.title)
)
SELECT coalesce(found.id, given.id) FROM given LEFT JOIN found USING (title) ORDER BY given.n;

-- name: read_duration
-- $1 exam uuid. Minutes.
SELECT duration_minutes FROM exams WHERE id = $1;

-- name: insert_attempts
-- `ids` and `students` are pairwise. As attempts.insert_attempt leaves one.
INSERT INTO exam_attempts (id, exam_id, student_id, started_at, expires_at, max_score, evaluation_version_id, attempt_number, policy)
SELECT given.id, e.id, given.student_id, :started_at, :expires_at, e.max_score, e.evaluation_version_id, before.taken + 1,
       :policy::text::jsonb
FROM exams e
CROSS JOIN unnest(:ids::uuid[], :students::uuid[]) AS given (id, student_id)
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS taken FROM exam_attempts x WHERE x.exam_id = e.id AND x.student_id = given.student_id
) before
WHERE e.id = :exam_id;

-- name: insert_sessions
-- $1 attempts uuid[], $2 mode smallint, $3 started_at timestamptz. Their ids, in the order given.
INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
SELECT a.id, a.exam_id, a.student_id, e.organisation_id, $2::smallint, $3
FROM unnest($1::uuid[]) WITH ORDINALITY AS given (id, n)
JOIN exam_attempts a ON a.id = given.id
JOIN exams e ON e.id = a.exam_id
ORDER BY given.n
RETURNING id;

-- name: insert_answers
-- $1 attempts uuid[], $2 questions uuid[], $3 responses as JSON text[], pairwise with $2, $4 saved_at timestamptz
-- The same answers in every attempt, each its question's first, an attempt's rows side by side.
INSERT INTO attempt_answers (attempt_id, question_id, client_seq, response, saved_at)
SELECT attempt_id, given.question_id, 1, given.response::jsonb, $4
FROM unnest($1::uuid[]) AS attempt_id
CROSS JOIN unnest($2::uuid[], $3::text[]) AS given (question_id, response)
ORDER BY attempt_id;
