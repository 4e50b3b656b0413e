-- Statements of the tallies of forms, and of what each submission has put into them.

-- name: list_tallies
-- $1 exam ids as text, $2 version. Those of that version, for the groups that their exam compares now.
SELECT t.exam_id::text, t.form_id::text, t.tally
FROM reporting.form_tallies t
JOIN exams e ON e.id = t.exam_id
WHERE t.exam_id = ANY ($1::text[]::uuid[]) AND t.version = concat_ws(' ', $2::text, e.reference_group_id, e.focal_group_id);

-- name: delete_tallies
-- $1 exam ids as text. With every share: nothing of them is counted any more.
WITH shares AS (
    DELETE FROM reporting.form_shares WHERE exam_id = ANY ($1::text[]::uuid[])
)
DELETE FROM reporting.form_tallies WHERE exam_id = ANY ($1::text[]::uuid[]);

-- name: list_counted
-- $1 exam ids as text, $2 attempt ids as text or null for all. The items of submissions that are not void, as they were projected;
-- and in which of the two groups that the exam compares their candidates are. Who is in both is in neither.
SELECT s.submission_id::text AS submission_id, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id,
       s.form_id::text AS form_id, s.passed, s.as_of, i.position, i.question_id::text AS question_id,
       i.question_version_id::text AS question_version_id, i.kind, i.key, i.max_points, i.response, i.points, i.seconds,
       CASE WHEN g.is_reference AND NOT g.is_focal THEN 'reference' WHEN g.is_focal AND NOT g.is_reference THEN 'focal' END AS "group"
FROM reporting.submissions s
JOIN exams e ON e.id = s.exam_id
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM group_members WHERE group_id = e.reference_group_id AND user_id = s.student_id) AS is_reference,
           EXISTS (SELECT FROM group_members WHERE group_id = e.focal_group_id AND user_id = s.student_id) AS is_focal
) g
JOIN reporting.submission_items i USING (submission_id)
WHERE s.exam_id = ANY ($1::text[]::uuid[]) AND NOT s.is_void AND s.form_id IS NOT NULL
  AND ($2::text[] IS NULL OR s.attempt_id = ANY ($2::text[]::uuid[]));

-- name: take_shares
-- $1 exam ids as text, $2 attempt ids as text or null for all
DELETE FROM reporting.form_shares
WHERE exam_id = ANY ($1::text[]::uuid[]) AND ($2::text[] IS NULL OR attempt_id = ANY ($2::text[]::uuid[]))
RETURNING exam_id::text, form_id::text, submission_id::text, share;

-- name: put_shares
-- One place a submission.
INSERT INTO reporting.form_shares (submission_id, attempt_id, exam_id, form_id, as_of, share)
SELECT * FROM unnest(:submissions::text[]::uuid[], :attempts::text[]::uuid[], :exams::text[]::uuid[], :forms::text[]::uuid[],
                     :moments::timestamptz[], :shares::bytea[]);

-- name: put_tallies
-- One place a form; null where nothing is counted any more.
WITH given AS (
    SELECT * FROM unnest(:exams::text[]::uuid[], :forms::text[]::uuid[], :tallies::bytea[]) t (exam_id, form_id, tally)
), gone AS (
    DELETE FROM reporting.form_tallies f USING given g
    WHERE f.exam_id = g.exam_id AND f.form_id = g.form_id AND g.tally IS NULL
)
INSERT INTO reporting.form_tallies (exam_id, form_id, version, tally)
SELECT g.exam_id, g.form_id, concat_ws(' ', :version::text, e.reference_group_id, e.focal_group_id), g.tally
FROM given g
JOIN exams e ON e.id = g.exam_id
WHERE g.tally IS NOT NULL
ON CONFLICT (exam_id, form_id) DO UPDATE SET version = excluded.version, tally = excluded.tally;

-- name: list_forms
-- $1 exam ids as text. The tallies, and how far each reaches.
SELECT t.exam_id::text, e.organisation_id::text, t.form_id::text,
       (SELECT max(s.as_of) FROM reporting.form_shares s WHERE s.exam_id = t.exam_id AND s.form_id = t.form_id), t.tally
FROM reporting.form_tallies t
JOIN exams e ON e.id = t.exam_id
WHERE t.exam_id = ANY ($1::text[]::uuid[])
ORDER BY t.exam_id, t.form_id;
