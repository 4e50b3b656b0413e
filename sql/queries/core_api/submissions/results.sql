-- Whether a submission's result counts.

-- name: set_result
-- $1 attempt_id uuid, $2 is_void, $3 now. No row comes back where it stands so already, or where nothing was handed in.
INSERT INTO submission_results (submission_id, attempt_id, exam_id, author_id, organisation_id, is_void, changed_at)
SELECT s.id, s.attempt_id, s.exam_id, s.author_id, s.organisation_id, $2, $3
FROM submissions s
WHERE s.attempt_id = $1 AND ($2 OR EXISTS (SELECT FROM submission_results r WHERE r.submission_id = s.id))
ON CONFLICT (submission_id) DO UPDATE SET is_void = excluded.is_void, changed_at = excluded.changed_at
WHERE submission_results.is_void <> excluded.is_void
RETURNING submission_id, author_id;
