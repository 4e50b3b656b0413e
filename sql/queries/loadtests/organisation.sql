-- An organisation with years of exams, made in bulk for the benchmark of analytics: every row follows from numbers and a seed.
-- Ids are a kind's digit and a number: numbered(3, 17) is attempt 17. Triggers and foreign keys are off while rows are made.

-- name: begin_bulk
-- For the connection: rows are loaded as a restore loads them.
SET session_replication_role = replica;

-- name: end_bulk
SET session_replication_role = origin;

-- name: create_numbering
-- An id: a kind's digit, and a number.
CREATE FUNCTION pg_temp.numbered(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('0000000' || kind::text || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
$$;

-- name: create_chance
-- A hash that stands for chance, 0 <= u < 1.
CREATE FUNCTION pg_temp.chance(seed bigint, a bigint, b bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashint8extended(a * 1000003 + b, seed) & 4294967295)::float8 / 4294967296.0
$$;

-- name: create_normal
-- A hash that stands for a standard normal deviate.
CREATE FUNCTION pg_temp.normal(seed bigint, a bigint, b bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sqrt(-2 * ln(greatest(pg_temp.chance(seed, a, b), 1e-12))) * cos(2 * pi() * pg_temp.chance(seed + 1, a, b))
$$;

-- name: create_plan
-- One row an attempt: which exam, who, when.
CREATE TEMPORARY TABLE plan (n int, exam int, student int, started_at timestamptz);

-- name: create_answers
-- One row an item of an attempt.
CREATE TEMPORARY TABLE answered (n int, exam int, position int, is_right boolean, chosen text);

-- name: fill_plan
-- Exam 0 has :largest candidates, exam 1 :small, the others share the rest. Attempts from :attempts on are of candidates of their own
-- and of exams 0 and 1, in turns.
INSERT INTO plan
SELECT n, exam, student, :began_at::timestamptz + exam % 30 * interval '1 day' + (n % 240) * interval '1 minute'
FROM generate_series(0, :attempts::int + :late::int - 1) n
CROSS JOIN LATERAL (SELECT n - :largest::int - :small::int AS other, :exams::int - 2 AS exams) o
CROSS JOIN LATERAL (
    SELECT CASE WHEN n >= :attempts THEN n % 2 WHEN n < :largest THEN 0 WHEN other < 0 THEN 1 ELSE 2 + other % exams END AS exam,
           CASE WHEN n >= :attempts THEN :students::int + n - :attempts WHEN other < 0 THEN n % :students
                ELSE (other / exams + 37 * (other % exams)) % :students END AS student
) t;

-- name: analyse_plan
ANALYZE plan;

-- name: insert_students
-- $1 organisation uuid, $2 students, $3 made at
INSERT INTO users (id, organisation_id, email, username, full_name, role, is_verified, created_at)
SELECT pg_temp.numbered(1, n), $1, 's' || n || '@analytics.example', 'analytics-s' || n, 'Student ' || n, 'student', true, $3
FROM generate_series(0, $2::int - 1) n;

-- name: insert_terms
-- $1 organisation uuid, $2 teacher uuid, $3 made at. Eight topics.
INSERT INTO taxonomy_terms (id, organisation_id, kind, name, created_by, created_at)
SELECT pg_temp.numbered(8, n), $1, 'term', 'Topic ' || n, $2, $3 FROM generate_series(0, 7) n;

-- name: insert_questions
-- Of each exam, `items` questions with four options; which one is right follows from chance.
WITH made AS (
    SELECT exam * 1000 + position AS n, exam, position, chr(97 + (pg_temp.chance(:seed, exam, position) * 4)::int % 4) AS right_one
    FROM generate_series(0, :exams::int - 1) exam CROSS JOIN generate_series(1, :items::int) position
), questions_made AS (
    INSERT INTO questions (id, organisation_id, creator_id, created_at)
    SELECT pg_temp.numbered(5, n), :organisation, :teacher, :at FROM made
), terms AS (
    INSERT INTO question_terms (question_id, term_id) SELECT pg_temp.numbered(5, n), pg_temp.numbered(8, (exam + position) % 8) FROM made
), items AS (
    INSERT INTO evaluation_items (evaluation_version_id, position, question_id, question_version_id, points)
    SELECT pg_temp.numbered(7, exam), position, pg_temp.numbered(5, n), pg_temp.numbered(6, n), 1 FROM made
)
INSERT INTO question_versions (id, question_id, version, kind, content, key, points, created_by, created_at)
SELECT pg_temp.numbered(6, n), pg_temp.numbered(5, n), 1, 'single_choice',
       jsonb_build_object('stem', 'Question ' || n, 'options', (
           SELECT jsonb_agg(jsonb_build_object('id', o, 'text', upper(o))) FROM unnest('{a,b,c,d}'::text[]) o
       )), jsonb_build_object('choice', right_one), 1, :teacher, :at
FROM made;

-- name: insert_forms
-- A published paper of each exam, and the exam.
WITH papers AS (
    INSERT INTO evaluations (id, organisation_id, creator_id, created_at)
    SELECT pg_temp.numbered(9, n), :organisation, :teacher, :at FROM generate_series(0, :exams::int - 1) n
), forms AS (
    INSERT INTO evaluation_versions (id, evaluation_id, version, title, status, paper, key, max_points, snapshot_sha256, created_by,
                                     created_at, published_at)
    SELECT pg_temp.numbered(7, n), pg_temp.numbered(9, n), 1, 'Paper ' || n, 'published', '[]', k.key, :items::int, ''::bytea, :teacher,
           :at, :at
    FROM generate_series(0, :exams::int - 1) n
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('question_id', v.question_id, 'item', jsonb_build_object('kind', v.kind, 'key', v.key),
                                            'term_ids', jsonb_build_array(t.term_id)) ORDER BY i.position) AS key
        FROM evaluation_items i
        JOIN question_versions v ON v.id = i.question_version_id
        JOIN question_terms t ON t.question_id = i.question_id
        WHERE i.evaluation_version_id = pg_temp.numbered(7, n)
    ) k
)
INSERT INTO exams (id, organisation_id, creator_id, title, subject, topic, duration_minutes, is_published, published_at, created_at,
                   evaluation_version_id)
SELECT pg_temp.numbered(2, n), :organisation, :teacher, 'Exam ' || n, 'Subject ' || n % 12, '', 60, true, :at, :at,
       pg_temp.numbered(7, n)
FROM generate_series(0, :exams::int - 1) n;

-- name: fill_answers
-- $1 seed, $2 items. Ability against difficulty; four options, of the wrong ones one is a favourite for two in three.
INSERT INTO answered
SELECT p.n, p.exam, t.position, is_right,
       CASE WHEN is_right THEN q.right_one
            ELSE chr(97 + (ascii(q.right_one) - 97 + CASE WHEN u2 < 0.66 THEN 1 WHEN u2 < 0.85 THEN 2 ELSE 3 END) % 4) END AS chosen
FROM plan p
CROSS JOIN generate_series(1, $2::int) t (position)
CROSS JOIN LATERAL (
    SELECT chr(97 + (pg_temp.chance($1, p.exam, t.position) * 4)::int % 4) AS right_one,
           pg_temp.chance($1 + 2, p.n, t.position) AS u, pg_temp.chance($1 + 3, p.n, t.position) AS u2,
           1 / (1 + exp(pg_temp.normal($1 + 5, p.exam, t.position) - pg_temp.normal($1 + 7, p.student, 0))) AS p_right
) q
CROSS JOIN LATERAL (SELECT q.u < q.p_right AS is_right) r;

-- name: index_answers
CREATE INDEX ON answered (n);

-- name: analyse_answers
ANALYZE answered;

-- name: insert_attempts_in_bulk
-- $1 first of the plan, $2 last. All begin; none has an end that could come.
INSERT INTO exam_attempts (id, exam_id, student_id, status, started_at, expires_at, evaluation_version_id, attempt_number, policy)
SELECT pg_temp.numbered(3, n), pg_temp.numbered(2, exam), pg_temp.numbered(1, student), 'in_progress', started_at,
       started_at + interval '20 years', pg_temp.numbered(7, exam), 1, '{}'
FROM plan
WHERE n BETWEEN $1::int AND $2::int;

-- name: complete_in_bulk
-- $1 items, $2 first, $3 last
UPDATE exam_attempts a
SET status = 'completed', score = s.score, max_score = 100, percentage = s.score, passed = s.score >= 50,
    expires_at = a.started_at + interval '1 hour', completed_at = a.started_at + interval '45 minutes', duration_seconds = 2700,
    submitted_by = 'candidate'
FROM (
    SELECT pg_temp.numbered(3, n) AS id, round(100.0 * count(*) FILTER (WHERE is_right) / $1::int, 2) AS score
    FROM answered WHERE n BETWEEN $2::int AND $3::int GROUP BY n
) s
WHERE a.id = s.id;

-- name: insert_submissions_in_bulk
-- $1 organisation uuid, $2 first, $3 last
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, version_snapshot, content,
                         content_sha256, event_id, finalised_at)
SELECT pg_temp.numbered(4, n), 'attempt', $1, pg_temp.numbered(2, exam), pg_temp.numbered(3, n), pg_temp.numbered(1, student),
       'candidate', jsonb_build_object('evaluation_version_id', pg_temp.numbered(7, exam), 'version', 1), ''::bytea, sha256(''::bytea),
       pg_temp.numbered(0, n), started_at + interval '45 minutes'
FROM plan
WHERE n BETWEEN $2::int AND $3::int;

-- name: insert_items_in_bulk
-- $1 first, $2 last
INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, client_seq, saved_at, points,
                              max_points)
SELECT pg_temp.numbered(4, a.n), a.position, pg_temp.numbered(5, a.exam * 1000 + a.position),
       pg_temp.numbered(6, a.exam * 1000 + a.position), 'single_choice', jsonb_build_object('choice', a.chosen), a.position,
       p.started_at + a.position * interval '100 seconds', a.is_right::int, 1
FROM answered a
JOIN plan p USING (n)
WHERE a.n BETWEEN $1::int AND $2::int;

-- name: insert_scores_in_bulk
-- $1 items, $2 first, $3 last
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score, percentage,
                               passed, reason, scored_at)
SELECT pg_temp.numbered(4, p.n), 1, 'points-2', a.item_points, a.points, $1::int, 0, round(100.0 * a.points / $1::int, 2),
       round(100.0 * a.points / $1::int, 3), 100.0 * a.points / $1::int >= 50, 'finalised', p.started_at + interval '45 minutes'
FROM plan p
JOIN (
    SELECT n, jsonb_object_agg(position, is_right::int) AS item_points, count(*) FILTER (WHERE is_right) AS points
    FROM answered WHERE n BETWEEN $2::int AND $3::int GROUP BY n
) a USING (n);

-- name: tell_in_bulk
-- $1 organisation uuid, $2 first, $3 last. What the pipeline is told of those submissions.
INSERT INTO outbox (event_id, kind, organisation_id, resource_id, payload, occurred_at)
SELECT pg_temp.numbered(0, n), 'submission.finalised', $1, pg_temp.numbered(4, n), '{}', started_at + interval '45 minutes'
FROM plan
WHERE n BETWEEN $2::int AND $3::int;

-- name: insert_sessions_in_bulk
-- $1 organisation uuid, $2 events of each, $3 attempts
INSERT INTO proctor_sessions (id, attempt_id, exam_id, candidate_id, organisation_id, mode, status, started_at, ended_at, final_seq,
                              taken_up_at, rule_set_id)
OVERRIDING SYSTEM VALUE
SELECT n + 1, pg_temp.numbered(3, n), pg_temp.numbered(2, exam), pg_temp.numbered(1, student), $1, 1, 2, started_at,
       started_at + interval '45 minutes', $2::int, started_at, (SELECT max(id) FROM rule_sets WHERE organisation_id = $1)
FROM plan
WHERE n < $3::int;

-- name: move_sequence
-- $1 sessions. Those that come next are numbered after these.
SELECT setval(pg_get_serial_sequence('proctor_sessions', 'id'), $1::bigint);

-- name: insert_progress_in_bulk
-- $1 events of each, $2 attempts
WITH progress AS (
    INSERT INTO session_progress (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at,
                                  last_heartbeat_at, clock_offset_us)
    SELECT n + 1, $1::int, $1::int, 0, started_at, started_at + interval '45 minutes', started_at + interval '44 minutes', 0
    FROM plan
    WHERE n < $2::int
)
INSERT INTO unarchived_sessions (session_id) SELECT n + 1 FROM plan WHERE n < $2;

-- name: insert_events_in_bulk
-- Of attempts :first to :last. Most are heartbeats; a few of each are what candidates do, some of it violations.
INSERT INTO events (session_id, seq, occurred_at, client_at, client, client_seq, event_type, severity, is_violation, is_late, payload)
SELECT p.n + 1, s.seq, at, at + interval '1.2 seconds', 7, s.seq, e.type,
       CASE WHEN e.type IN (2, 4) THEN 2 WHEN e.type = 6 THEN 1 ELSE 0 END, e.type IN (2, 4), false,
       CASE WHEN e.type IN (104, 105) THEN jsonb_build_object('questionId', pg_temp.numbered(
                5, p.exam * 1000 + 1 + s.seq * :items::int / (:events::int + 1)
            )) WHEN e.type = 6 THEN '{"length": 80}'::jsonb END
FROM plan p
CROSS JOIN generate_series(1, :events) s (seq)
CROSS JOIN LATERAL (
    SELECT pg_temp.chance(:seed, p.n, s.seq) AS u, p.started_at + s.seq * (interval '45 minutes' / (:events + 1)) AS at
) c
CROSS JOIN LATERAL (
    SELECT CASE WHEN u < 0.60 THEN 1 WHEN u < 0.78 THEN 105 WHEN u < 0.95 THEN 104 WHEN u < 0.975 THEN 101 WHEN u < 0.99 THEN 2
                WHEN u < 0.997 THEN 6 ELSE 4 END AS type
) e
WHERE p.n BETWEEN :first::int AND :last::int
ORDER BY p.exam % 30, p.n, s.seq;

-- name: analyse_all
ANALYZE;
