-- Exams: authoring, publishing, what a candidate may start.

-- name: insert_exam
INSERT INTO exams (id, organisation_id, creator_id, title, description, subject, topic, max_score, duration_minutes,
                   passing_score, enable_monitoring, enable_integrity_analysis, metadata, created_at, evaluation_version_id,
                   double_review, reference_group_id, focal_group_id)
VALUES (:id, :organisation, :creator_id, :title, :description, :subject, :topic, :max_score::float8, :duration_minutes,
        :passing_score::float8, :enable_monitoring, :enable_integrity_analysis, :metadata::text::jsonb, :created_at,
        :evaluation_version_id, :double_review, :reference_group_id, :focal_group_id)
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at, double_review,
          reference_group_id, focal_group_id;

-- name: set_published
-- $1 exam_id uuid, $2 is_published boolean, $3 at timestamptz. The first publication's time is kept.
UPDATE exams
SET is_published = $2, published_at = CASE WHEN $2 THEN coalesce(published_at, $3) ELSE published_at END
WHERE id = $1
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at, double_review,
          reference_group_id, focal_group_id;

-- name: hold_exam
-- $1 exam_id uuid. The caller has checked that it is theirs to edit.
SELECT id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
       passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
       metadata::json AS metadata, created_at, evaluation_version_id, archived_at, double_review, reference_group_id,
       focal_group_id
FROM exams
WHERE id = $1
FOR UPDATE;

-- name: list_compared
-- $1 group ids uuid[], $2 organisation uuid. Those of the organisation.
SELECT id FROM groups WHERE id = ANY ($1::uuid[]) AND organisation_id = $2;

-- name: has_begun
-- $1 exam_id uuid. Asked while the exam is held: a start or an observation that has read the old exam holds it, too.
SELECT EXISTS (SELECT FROM exam_attempts WHERE exam_id = $1) OR EXISTS (SELECT FROM submissions WHERE exam_id = $1);

-- name: update_exam
-- `metadata`: null leaves as it is.
UPDATE exams
SET title = :title, description = :description, subject = :subject, topic = :topic, max_score = :max_score::float8,
    duration_minutes = :duration_minutes, passing_score = :passing_score::float8, enable_monitoring = :enable_monitoring,
    enable_integrity_analysis = :enable_integrity_analysis, metadata = coalesce(:metadata::text::jsonb, metadata),
    evaluation_version_id = :evaluation_version_id, double_review = :double_review,
    reference_group_id = :reference_group_id, focal_group_id = :focal_group_id
WHERE id = :id
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at, double_review,
          reference_group_id, focal_group_id;

-- name: archive_exam
-- $1 exam_id uuid, $2 at timestamptz. It takes no new attempts; archiving again keeps the first time.
UPDATE exams
SET is_published = false, archived_at = coalesce(archived_at, $2)
WHERE id = $1
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at, double_review,
          reference_group_id, focal_group_id;

-- name: list_exams
-- `archived`: those too.
SELECT e.id, e.creator_id, e.title, e.description, e.subject, e.topic, e.max_score::float8 AS max_score, e.duration_minutes,
       e.passing_score::float8 AS passing_score, e.is_published, e.published_at, e.enable_monitoring,
       e.enable_integrity_analysis, e.metadata::json AS metadata, e.created_at, e.evaluation_version_id, e.archived_at, e.double_review,
       e.reference_group_id, e.focal_group_id
FROM exams e
WHERE e.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = :user_id))
  AND (:archived OR e.archived_at IS NULL) AND (:cursor::uuid IS NULL OR e.id < :cursor)
ORDER BY e.id DESC
LIMIT :limit;

-- name: fetch_exam
SELECT e.id, e.creator_id, e.title, e.description, e.subject, e.topic, e.max_score::float8 AS max_score, e.duration_minutes,
       e.passing_score::float8 AS passing_score, e.is_published, e.published_at, e.enable_monitoring,
       e.enable_integrity_analysis, e.metadata::json AS metadata, e.created_at, e.evaluation_version_id, e.archived_at, e.double_review,
       e.reference_group_id, e.focal_group_id
FROM exams e
WHERE e.id = :id AND e.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = :user_id));

-- name: fetch_exam_for_staff
-- What the caller may do with it, as booleans; no row when it is not visible to them.
SELECT e.id, e.title, e.subject, e.topic, e.description, e.max_score::float8 AS max_score,
       e.passing_score::float8 AS passing_score, e.duration_minutes, e.is_published, e.published_at, e.created_at,
       :sees_organisation OR e.creator_id = :user_id OR coalesce(p.can_edit, false) AS can_edit,
       :sees_organisation OR e.creator_id = :user_id OR coalesce(p.can_edit OR p.can_manage_students, false) AS can_manage_students,
       :sees_organisation OR e.creator_id = :user_id OR coalesce(p.can_adjudicate, false) AS can_adjudicate,
       :sees_organisation OR e.creator_id = :user_id OR coalesce(p.can_view_analytics, false) AS can_view_analytics
FROM exams e
LEFT JOIN teacher_exam_permissions p ON p.exam_id = e.id AND p.teacher_id = :user_id
WHERE e.id = :id AND e.organisation_id = :organisation AND (:sees_organisation OR e.creator_id = :user_id OR p.can_view);

-- name: list_available
-- Newest first; ids are UUIDv7, so their order is that of creation. With each the student's latest attempt, if any. An exam
-- that was assigned to anybody is there for whom an assignment reaches.
SELECT e.id, e.title, e.description, e.subject, e.topic, e.max_score::float8 AS max_score, e.duration_minutes,
       e.passing_score::float8 AS passing_score, e.published_at, e.enable_monitoring,
       a.id AS attempt_id, a.status AS attempt_status, coalesce(a.taken, 0) AS attempts_taken
FROM exams e
LEFT JOIN LATERAL (
    SELECT id, status, count(*) OVER () AS taken FROM exam_attempts
    WHERE exam_id = e.id AND student_id = :student
    ORDER BY started_at DESC, id DESC LIMIT 1
) a ON true
WHERE e.organisation_id = :organisation AND e.is_published AND (:cursor::uuid IS NULL OR e.id < :cursor)
  AND (NOT EXISTS (SELECT FROM restricted_exams s WHERE s.exam_id = e.id)
       OR EXISTS (SELECT FROM assignments s
                  WHERE s.exam_id = e.id AND s.revoked_at IS NULL
                    AND (s.user_id = :student
                         OR s.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = :student))))
ORDER BY e.id DESC
LIMIT :limit;
