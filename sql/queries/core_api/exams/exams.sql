-- Exams: authoring, publishing, what a candidate may start.

-- name: insert_exam
-- $1 id uuid, $2 organisation uuid, $3 creator uuid, $4 title, $5 description, $6 subject, $7 topic, $8 max_score float8,
-- $9 duration_minutes int, $10 passing_score float8, $11 enable_monitoring, $12 enable_integrity_analysis,
-- $13 metadata as JSON text, $14 created_at timestamptz, $15 evaluation_version_id uuid or null
INSERT INTO exams (id, organisation_id, creator_id, title, description, subject, topic, max_score, duration_minutes,
                   passing_score, enable_monitoring, enable_integrity_analysis, metadata, created_at, evaluation_version_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::float8, $9, $10::float8, $11, $12, $13::text::jsonb, $14, $15)
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at;

-- name: set_published
-- $1 exam_id uuid, $2 is_published boolean, $3 at timestamptz. The first publication's time is kept.
UPDATE exams
SET is_published = $2, published_at = CASE WHEN $2 THEN coalesce(published_at, $3) ELSE published_at END
WHERE id = $1
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at;

-- name: hold_exam
-- $1 exam_id uuid. The caller has checked that it is theirs to edit.
SELECT id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
       passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
       metadata::json AS metadata, created_at, evaluation_version_id, archived_at
FROM exams
WHERE id = $1
FOR UPDATE;

-- name: has_attempts
-- $1 exam_id uuid. Asked while the exam is held: a start that has read the old exam holds it, too.
SELECT EXISTS (SELECT FROM exam_attempts WHERE exam_id = $1);

-- name: update_exam
-- $1 exam_id uuid, $2 title, $3 description, $4 subject, $5 topic, $6 max_score float8, $7 duration_minutes,
-- $8 passing_score float8, $9 enable_monitoring, $10 enable_integrity_analysis, $11 metadata as JSON text or null: null leaves as it is,
-- $12 evaluation_version_id uuid or null
UPDATE exams
SET title = $2, description = $3, subject = $4, topic = $5, max_score = $6::float8, duration_minutes = $7,
    passing_score = $8::float8, enable_monitoring = $9, enable_integrity_analysis = $10, metadata = coalesce($11::text::jsonb, metadata),
    evaluation_version_id = $12
WHERE id = $1
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at;

-- name: archive_exam
-- $1 exam_id uuid, $2 at timestamptz. It takes no new attempts; archiving again keeps the first time.
UPDATE exams
SET is_published = false, archived_at = coalesce(archived_at, $2)
WHERE id = $1
RETURNING id, creator_id, title, description, subject, topic, max_score::float8 AS max_score, duration_minutes,
          passing_score::float8 AS passing_score, is_published, published_at, enable_monitoring, enable_integrity_analysis,
          metadata::json AS metadata, created_at, evaluation_version_id, archived_at;

-- name: list_exams
-- $1 organisation uuid, $2 user_id uuid, $3 whole_organisation boolean, $4 archived too boolean, $5 before uuid or null, $6 limit
SELECT e.id, e.creator_id, e.title, e.description, e.subject, e.topic, e.max_score::float8 AS max_score, e.duration_minutes,
       e.passing_score::float8 AS passing_score, e.is_published, e.published_at, e.enable_monitoring,
       e.enable_integrity_analysis, e.metadata::json AS metadata, e.created_at, e.evaluation_version_id, e.archived_at
FROM exams e
WHERE e.organisation_id = $1 AND ($3 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = $2))
  AND ($4 OR e.archived_at IS NULL) AND ($5::uuid IS NULL OR e.id < $5)
ORDER BY e.id DESC
LIMIT $6;

-- name: fetch_exam
-- $1 exam_id uuid, $2 organisation uuid, $3 user_id uuid, $4 whole_organisation boolean
SELECT e.id, e.creator_id, e.title, e.description, e.subject, e.topic, e.max_score::float8 AS max_score, e.duration_minutes,
       e.passing_score::float8 AS passing_score, e.is_published, e.published_at, e.enable_monitoring,
       e.enable_integrity_analysis, e.metadata::json AS metadata, e.created_at, e.evaluation_version_id, e.archived_at
FROM exams e
WHERE e.id = $1 AND e.organisation_id = $2
  AND ($4 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = $3));

-- name: fetch_exam_for_staff
-- $1 exam_id uuid, $2 organisation uuid, $3 user_id uuid, $4 whole_organisation boolean
-- What the caller may do with it, as booleans; no row when it is not visible to them.
SELECT e.id, e.title, e.subject, e.topic, e.description, e.max_score::float8 AS max_score,
       e.passing_score::float8 AS passing_score, e.duration_minutes, e.is_published, e.published_at, e.created_at,
       $4 OR e.creator_id = $3 OR coalesce(p.can_edit, false) AS can_edit,
       $4 OR e.creator_id = $3 OR coalesce(p.can_view_analytics, false) AS can_view_analytics
FROM exams e
LEFT JOIN teacher_exam_permissions p ON p.exam_id = e.id AND p.teacher_id = $3
WHERE e.id = $1 AND e.organisation_id = $2 AND ($4 OR e.creator_id = $3 OR p.can_view);

-- name: list_available
-- $1 organisation uuid, $2 student uuid, $3 before uuid or null, $4 limit
-- Newest first; ids are UUIDv7, so their order is that of creation. With each the student's latest attempt, if any. An exam
-- that was assigned to anybody is there for whom an assignment reaches.
SELECT e.id, e.title, e.description, e.subject, e.topic, e.max_score::float8 AS max_score, e.duration_minutes,
       e.passing_score::float8 AS passing_score, e.published_at, e.enable_monitoring,
       a.id AS attempt_id, a.status AS attempt_status
FROM exams e
LEFT JOIN LATERAL (
    SELECT id, status FROM exam_attempts
    WHERE exam_id = e.id AND student_id = $2
    ORDER BY started_at DESC, id DESC LIMIT 1
) a ON true
WHERE e.organisation_id = $1 AND e.is_published AND ($3::uuid IS NULL OR e.id < $3)
  AND (NOT EXISTS (SELECT FROM restricted_exams s WHERE s.exam_id = e.id)
       OR EXISTS (SELECT FROM assignments s
                  WHERE s.exam_id = e.id AND s.revoked_at IS NULL
                    AND (s.user_id = $2 OR s.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = $2))))
ORDER BY e.id DESC
LIMIT $4;
