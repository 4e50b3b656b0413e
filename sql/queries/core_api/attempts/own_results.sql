-- What candidates export of their own results.

-- name: list_own_results
-- $1 student uuid. Each attempt that was handed in, oldest first, with its items as JSON. No points of items: they would tell the
-- key to others who have yet to sit the exam. A void result has no score. When an imported answer was saved is not known: it was there
-- at the hand-in.
SELECT b.attempt_id, coalesce(a.attempt_number, 1) AS attempt_number, b.exam_id, e.title AS exam_title, b.author_id AS student_id,
       a.started_at, b.finalised_at, c.scored_at, CASE WHEN r.is_void IS NULL THEN a.score END::float8 AS score,
       coalesce(a.max_score, e.max_score)::float8 AS max_score, CASE WHEN r.is_void IS NULL THEN a.percentage END::float8 AS percentage,
       CASE WHEN r.is_void IS NULL THEN a.passed END AS passed, r.is_void IS NOT NULL AS is_void,
       (SELECT coalesce(json_agg(json_build_object(
                   'position', i.position, 'question_id', i.question_id, 'kind', i.kind,
                   'response', CASE WHEN i.response IS NULL THEN NULL
                                    WHEN i.kind = 'multiple_choice' THEN ARRAY(SELECT jsonb_array_elements_text(i.response -> 'choices'))
                                    ELSE ARRAY[coalesce(i.response ->> 'choice', i.response ->> 'number', i.response ->> 'text', '')]
                                    END,
                   'points', NULL, 'max_points', i.max_points, 'seconds', i.seconds,
                   'saved_at', coalesce(i.saved_at, b.finalised_at))), '[]')
        FROM submission_items i
        WHERE i.submission_id = b.id AND (i.saved_at IS NOT NULL OR i.response IS NOT NULL)) AS items
FROM submissions b
JOIN exam_attempts a ON a.id = b.attempt_id
JOIN exams e ON e.id = b.exam_id
CROSS JOIN LATERAL (SELECT scored_at FROM submission_scores WHERE submission_id = b.id ORDER BY revision DESC LIMIT 1) c
LEFT JOIN submission_results r ON r.submission_id = b.id AND r.is_void
WHERE b.author_id = $1
ORDER BY b.id;

-- name: list_own_marks
-- $1 student uuid. The same without items.
SELECT a.id::text AS attempt_id, e.title AS exam_title, e.subject, a.status, a.started_at, a.completed_at,
       CASE WHEN r.is_void IS NULL THEN a.score END::float8 AS score, a.max_score::float8 AS max_score,
       CASE WHEN r.is_void IS NULL THEN a.percentage END::float8 AS percentage, CASE WHEN r.is_void IS NULL THEN a.passed END AS passed,
       r.is_void IS NOT NULL AS is_void
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
LEFT JOIN submission_results r ON r.attempt_id = a.id AND r.is_void
WHERE a.student_id = $1
ORDER BY a.id;
