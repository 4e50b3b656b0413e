-- What handed_in.py lays into a database. Parameters are psycopg's.

-- name: form
-- Published in one go: a draft's items would be looked at one by one.
INSERT INTO evaluations (id, organisation_id, creator_id, created_at) VALUES (%(form)s, %(organisation)s, %(teacher)s, %(at)s);
INSERT INTO taxonomy_terms (id, organisation_id, kind, name, created_by, created_at)
SELECT id, %(organisation)s, 'term', name, %(teacher)s, %(at)s FROM unnest(%(terms)s::uuid[], %(topics)s::text[]) t (id, name);
INSERT INTO questions (id, organisation_id, creator_id, created_at)
SELECT id, %(organisation)s, %(teacher)s, %(at)s FROM unnest(%(questions)s::uuid[]) q (id);
INSERT INTO question_versions (id, question_id, version, kind, content, key, points, created_by, created_at)
SELECT id, id, 1, 'single_choice', '{}', '{"choice": "b"}', 1, %(teacher)s, %(at)s FROM unnest(%(questions)s::uuid[]) q (id);
INSERT INTO evaluation_versions (id, evaluation_id, version, title, status, paper, key, max_points, snapshot_sha256, created_by,
                                 created_at, published_at)
VALUES (%(form)s, %(form)s, 1, 'Form', 'published', '[]', %(key)s::jsonb, %(items)s, '', %(teacher)s, %(at)s, %(at)s);
UPDATE exams SET evaluation_version_id = %(form)s, subject = %(subject)s WHERE id = %(exam)s;

-- name: hand_in
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, version_snapshot, content,
                         content_sha256, event_id, finalised_at)
VALUES (%(id)s, 'attempt', %(organisation)s, %(exam)s, %(attempt)s, %(student)s, 'candidate', '{}', '', '', %(event)s, %(at)s);
INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, saved_at, points, max_points)
SELECT %(id)s, position, question, question, 'single_choice', response::jsonb, %(at)s,
       CASE WHEN response::jsonb ->> 'choice' = 'b' THEN 1 ELSE 0 END, 1
FROM unnest(%(questions)s::uuid[], %(responses)s::text[]) WITH ORDINALITY AS given (question, response, position);
UPDATE exam_attempts SET status = 'completed', submitted_by = 'candidate', completed_at = %(at)s WHERE id = %(attempt)s;

-- name: score
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score, percentage,
                               passed, reason, scored_at)
SELECT s.id, 1 + (SELECT count(*) FROM submission_scores WHERE submission_id = s.id), 'points-2', %(item_points)s::jsonb,
       %(points)s, %(items)s, 0, %(percentage)s, %(percentage)s, %(percentage)s >= 50, 'again', %(at)s
FROM submissions s WHERE s.id = %(id)s

-- name: void
INSERT INTO submission_results (submission_id, attempt_id, exam_id, author_id, organisation_id, is_void, changed_at)
SELECT id, attempt_id, exam_id, author_id, organisation_id, %(is_void)s, %(at)s FROM submissions WHERE id = %(id)s
ON CONFLICT (submission_id) DO UPDATE SET is_void = excluded.is_void, changed_at = excluded.changed_at
