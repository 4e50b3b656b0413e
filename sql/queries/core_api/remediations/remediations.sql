-- Remediations: made, listed, begun, cancelled.

-- name: find_version
-- A published version that an exam of the caller's sight points at, and whether they may change every exam that does.
SELECT v.id, :sees_organisation OR v.id IN (SELECT m.evaluation_version_id FROM remediable_versions m) AS can_edit
FROM evaluation_versions v
WHERE v.id = :id AND v.status = 'published'
  AND EXISTS (SELECT FROM exams e
              LEFT JOIN teacher_exam_permissions p ON p.exam_id = e.id AND p.teacher_id = :user_id
              WHERE e.evaluation_version_id = v.id AND e.organisation_id = :organisation
                AND (:sees_organisation OR e.creator_id = :user_id OR p.can_view));

-- name: insert_remediation
INSERT INTO remediations (id, organisation_id, evaluation_version_id, changes, undoes, reason, note_en, note_ar, created_by, created_at)
VALUES (:id, :organisation, :evaluation_version_id, :changes::text::jsonb, :undoes, :reason, :note_en, :note_ar, :created_by,
        :created_at);

-- name: fetch_remediation
-- No row where the caller sees none of the exams that it reaches.
SELECT r.id AS remediation_id, r.evaluation_version_id, r.status, r.changes, r.undoes, r.reason, r.note_en, r.note_ar, r.created_by,
       r.created_at, r.number, r.applied_by, r.applied_at, r.completed_at, r.cancelled_by, r.cancelled_at,
       p.submissions, p.rescored, p.changed, p.now_passed, p.now_failed,
       :sees_organisation OR r.evaluation_version_id IN (SELECT m.evaluation_version_id FROM remediable_versions m) AS can_edit
FROM remediations r
LEFT JOIN remediation_progress p ON p.remediation_id = r.id
WHERE r.id = :id AND r.organisation_id = :organisation
  AND EXISTS (SELECT FROM exams e
              LEFT JOIN teacher_exam_permissions t ON t.exam_id = e.id AND t.teacher_id = :user_id
              WHERE e.evaluation_version_id = r.evaluation_version_id
                AND (:sees_organisation OR e.creator_id = :user_id OR t.can_view));

-- name: list_remediations
-- Newest first; those of a version, or of the version of an exam, where one is given.
SELECT r.id AS remediation_id, r.evaluation_version_id, r.status, r.changes, r.undoes, r.reason, r.note_en, r.note_ar, r.created_by,
       r.created_at, r.number, r.applied_by, r.applied_at, r.completed_at, r.cancelled_by, r.cancelled_at,
       p.submissions, p.rescored, p.changed, p.now_passed, p.now_failed
FROM remediations r
LEFT JOIN remediation_progress p ON p.remediation_id = r.id
WHERE r.organisation_id = :organisation AND (:cursor::uuid IS NULL OR r.id < :cursor)
  AND (:evaluation_version_id::uuid IS NULL OR r.evaluation_version_id = :evaluation_version_id)
  AND (:exam_id::uuid IS NULL
       OR r.evaluation_version_id = (SELECT x.evaluation_version_id FROM exams x WHERE x.id = :exam_id))
  AND EXISTS (SELECT FROM exams e
              LEFT JOIN teacher_exam_permissions t ON t.exam_id = e.id AND t.teacher_id = :user_id
              WHERE e.evaluation_version_id = r.evaluation_version_id
                AND (:sees_organisation OR e.creator_id = :user_id OR t.can_view))
ORDER BY r.id DESC
LIMIT :limit;

-- name: hold_remediation
-- $1 id
SELECT status FROM remediations WHERE id = $1 FOR UPDATE;

-- name: hold_version
-- $1 evaluation_version_id. Waits for whoever scores by the key that counts now; whoever comes later goes by the next one.
SELECT pg_advisory_xact_lock(remediation_lock($1));

-- name: list_acts
-- $1 evaluation_version_id. What was applied, oldest first.
SELECT id, status, changes, undoes FROM remediations WHERE evaluation_version_id = $1 AND number IS NOT NULL ORDER BY number;

-- name: begin_remediation
UPDATE remediations r
SET status = 'applying', key = :key::text::jsonb, applied_by = :applied_by, applied_at = :applied_at,
    number = 1 + (SELECT count(*) FROM remediations o WHERE o.evaluation_version_id = r.evaluation_version_id AND o.number IS NOT NULL)
WHERE r.id = :id;

-- name: begin_progress
-- $1 remediation, $2 evaluation_version_id. What is there was scored by the former key.
INSERT INTO remediation_progress (remediation_id, submissions)
SELECT $1, count(*) FROM exams e JOIN submissions s ON s.exam_id = e.id WHERE e.evaluation_version_id = $2;

-- name: cancel_remediation
-- $1 id, $2 by whom, $3 at
UPDATE remediations SET status = 'cancelled', cancelled_by = $2, cancelled_at = $3 WHERE id = $1;
