-- What is exported of an exam.

-- name: list_results_of_exam
-- $1 exam id. Each attempt that was handed in, with its items as JSON: of an essay and of a finding only that there is one. When an
-- imported answer was saved is not known: it was there at the hand-in.
SELECT s.attempt_id, coalesce(a.attempt_number, 1) AS attempt_number, s.exam_id, e.title AS exam_title, s.student_id, s.started_at,
       s.finalised_at, s.scored_at, s.score, coalesce(a.max_score, e.max_score)::float8 AS max_score, s.percentage, s.passed, s.is_void,
       (SELECT coalesce(json_agg(json_build_object(
                   'position', i.position, 'question_id', i.question_id, 'kind', i.kind,
                   'response', CASE WHEN i.response IS NULL OR i.kind IN ('essay', 'finding') THEN NULL
                                    WHEN i.kind = 'multiple_choice' THEN string_to_array(i.response, ',')
                                    ELSE ARRAY[i.response] END,
                   'points', i.points, 'max_points', i.max_points, 'seconds', i.seconds,
                   'saved_at', coalesce(i.saved_at, s.finalised_at))), '[]')
        FROM reporting.submission_items i
        WHERE i.submission_id = s.submission_id AND (i.saved_at IS NOT NULL OR i.response IS NOT NULL)) AS items
FROM reporting.submissions s
JOIN exam_attempts a ON a.id = s.attempt_id
JOIN exams e ON e.id = s.exam_id
WHERE s.exam_id = $1
ORDER BY s.submission_id;
