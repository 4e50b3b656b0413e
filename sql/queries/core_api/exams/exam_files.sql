-- Exams from a file: what its words mean.

-- name: find_exams_titled
-- Of those that the caller may see, not archived; the caller's own ones first, two at most.
SELECT e.id, e.creator_id = :user_id AS is_own FROM exams e
WHERE e.organisation_id = :organisation AND e.title = :title AND e.archived_at IS NULL
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = :user_id))
ORDER BY e.creator_id = :user_id DESC, e.id
LIMIT 2;

-- name: list_versions_titled
-- Published versions of that title that the caller may use, newest first.
SELECT v.id, v.evaluation_id
FROM evaluation_versions v
JOIN evaluations e ON e.id = v.evaluation_id
WHERE v.title = :title AND v.status = 'published' AND e.organisation_id = :organisation
  AND (:sees_organisation OR e.creator_id = :user_id)
ORDER BY v.id DESC;

-- name: find_groups_named
-- $1 organisation uuid, $2 names text[]. With each its group; a name of none has no row.
SELECT given.name, g.id FROM unnest($2::text[]) AS given (name)
JOIN groups g ON g.organisation_id = $1 AND lower(g.name) = lower(given.name);

-- name: find_staff_at
-- $1 organisation uuid, $2 emails text[]. Teachers, reviewers and observers.
SELECT given.email, u.id, u.role FROM unnest($2::text[]) AS given (email)
JOIN users u ON lower(u.email) = lower(given.email)
WHERE u.organisation_id = $1 AND u.role IN ('teacher', 'reviewer', 'observer');
