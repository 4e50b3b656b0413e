-- In which sessions staff act, and how these stand.

-- name: find_session
-- A session that the caller may see.
SELECT s.id, s.attempt_id, s.candidate_id
FROM proctor_sessions s
WHERE s.id = :id AND s.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = :user_id));

-- name: fetch_status
-- $1 session
SELECT status FROM proctor_sessions WHERE id = $1;

-- name: fetch_flag
-- $1 session. The newest time that it was flagged or was not any more.
SELECT id, kind, acted_at FROM session_actions
WHERE session_id = $1 AND kind IN ('flag', 'unflag')
ORDER BY id DESC LIMIT 1;

-- name: list_room
-- Active sessions of an exam that the caller sees: all of them, those of a group's members, or the given ones; of an attempt
-- with several the stricter one.
SELECT DISTINCT ON (s.attempt_id) s.id, s.attempt_id, s.candidate_id
FROM proctor_sessions s
WHERE s.exam_id = :exam_id AND s.status = 1
  AND (:session_ids::bigint[] IS NULL OR s.id = ANY (:session_ids))
  AND (:group_ids::uuid[] IS NULL
       OR s.candidate_id IN (SELECT m.user_id FROM group_members m WHERE m.group_id = ANY (:group_ids)))
ORDER BY s.attempt_id, s.mode DESC
LIMIT :limit;
