-- What the benchmark of the core needs of PostgreSQL: candidates, running attempts with answers, counts of what came of them.
-- Numbers stand for candidates and attempts: lpad(to_hex(number), 32, '0')::uuid is the id.

-- name: list_running
-- $1 exam_id. The attempts' ids in order of the candidates' numbers.
SELECT a.id::text FROM exam_attempts a WHERE a.exam_id = $1::uuid ORDER BY a.student_id;

-- name: analyse_people
-- As autovacuum would; of tables that are filled only, for one that was empty when it was analysed is taken for a page for ever.
ANALYZE users, group_members;

-- name: analyse_attempts
ANALYZE exam_attempts, attempt_answers, proctor_sessions;

-- name: count_outcome
-- $1 exam_id. Attempts, those completed, those with all their answers saved, and what finalising them left, as a JSON object.
WITH mine AS (SELECT id, event_id FROM submissions WHERE exam_id = $1::uuid)
SELECT json_build_object(
    'attempts', (SELECT count(*) FROM exam_attempts WHERE exam_id = $1::uuid),
    'completed', (SELECT count(*) FROM exam_attempts WHERE exam_id = $1::uuid AND status = 'completed' AND submitted_by = 'candidate'),
    'answers', (SELECT count(*) FROM attempt_answers w JOIN exam_attempts a ON a.id = w.attempt_id WHERE a.exam_id = $1::uuid),
    'submissions', (SELECT count(*) FROM mine),
    'items', (SELECT count(*) FROM submission_items i JOIN mine ON mine.id = i.submission_id),
    'scores', (SELECT count(*) FROM submission_scores s JOIN mine ON mine.id = s.submission_id WHERE s.revision = 1),
    'subjects', (SELECT count(*) FROM submission_subjects s JOIN mine ON mine.id = s.submission_id),
    'ledger_events', (SELECT count(*) FROM ledger_events e JOIN mine ON mine.event_id = e.id));

-- name: count_unsealed
-- Ledger events that are under no signed head.
SELECT (SELECT count(*) FROM ledger_pending)
     + (SELECT count(*) FROM ledger_leaves WHERE position >= coalesce((SELECT max(size) FROM ledger_heads), 0));

-- name: fetch_finalised
-- $1 exam_id. One submission's values as pgbench's variables: text forms that the same columns take again.
SELECT s.organisation_id::text AS organisation, s.exam_id::text AS exam, convert_from(s.content, 'UTF8') AS content,
       encode(s.content_sha256, 'hex') AS digest, encode(s.body_sha256, 'hex') AS body, s.version_snapshot::text AS snapshot,
       i.positions, i.questions, i.versions, i.kinds, i.responses, i.sequences, i.saved, i.points, i.maxima,
       r.scoring_version AS scoring, r.item_points::text AS item_points, r.points::text AS total, r.max_points::text AS total_max,
       r.ungraded::text AS ungraded, r.score::text AS score, r.percentage::text AS percentage, r.passed::text AS passed,
       r.given_points::text AS given,
       o.value AS origin, encode(o.salt, 'hex') AS salt,
       convert_from(e.body, 'UTF8')::jsonb #>> '{commitments,origin}' AS committed
FROM submissions s
JOIN submission_scores r ON r.submission_id = s.id AND r.revision = 1
JOIN ledger_events e ON e.id = s.event_id
JOIN ledger_salts o ON o.event_id = s.event_id AND o.name = 'origin'
CROSS JOIN LATERAL (
    SELECT array_agg(position ORDER BY position)::text AS positions, array_agg(question_id ORDER BY position)::text AS questions,
           array_agg(question_version_id ORDER BY position)::text AS versions, array_agg(kind ORDER BY position)::text AS kinds,
           array_agg(response::text ORDER BY position)::text AS responses, array_agg(client_seq ORDER BY position)::text AS sequences,
           array_agg(saved_at ORDER BY position)::text AS saved, array_agg(points::text ORDER BY position)::text AS points,
           array_agg(max_points::text ORDER BY position)::text AS maxima
    FROM submission_items WHERE submission_id = s.id
) i
WHERE s.exam_id = $1::uuid
LIMIT 1;
