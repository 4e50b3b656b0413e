-- Forms that observers fill in, and the exams that they belong to.

-- name: list_observable
-- Open exams that the observer was granted, newest first.
SELECT e.id, e.title, e.description, e.subject, e.topic, e.evaluation_version_id
FROM exams e
WHERE e.organisation_id = :organisation AND EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = :user_id)
  AND e.is_published AND e.evaluation_version_id IS NOT NULL AND (:cursor::uuid IS NULL OR e.id < :cursor)
ORDER BY e.id DESC
LIMIT :limit;

-- name: fetch_form
-- What is to be filled in, without the key, as text that is passed on unread; no row where the exam has no evaluation, nor, for
-- who `observes`, while it is not open: they read what `list_observable` lists.
SELECT e.id AS exam_id, e.title, e.is_published, v.id AS evaluation_version_id, v.paper::text AS paper
FROM exams e
JOIN evaluation_versions v ON v.id = e.evaluation_version_id
WHERE e.id = :id AND e.organisation_id = :organisation AND (e.is_published OR NOT :observes)
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers w WHERE w.exam_id = e.id AND w.user_id = :user_id));
