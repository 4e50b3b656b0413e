-- Past sessions for a draft of rules: which, and what their scores rest on beside the archive.

-- name: list_past_sessions
-- Of the asker's organisation, with an end that cannot change any more; one more than may be is told by their number. What the
-- asker is still to review blind is left out.
SELECT s.id, s.attempt_id, s.exam_id, o.exam_title, s.candidate_id, o.candidate_name, s.rule_set_id, s.ended_at, o.total_events,
       coalesce(o.first_event_at, s.ended_at) AS first_at, coalesce(o.last_event_at, s.ended_at) AS last_at
FROM proctor_sessions s
JOIN session_overview o ON o.id = s.id
WHERE s.organisation_id = :organisation AND s.status <> 1 AND s.final_seq IS NOT NULL
  AND NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = s.id)
  AND (:exam_ids::uuid[] IS NULL OR s.exam_id = ANY (:exam_ids::uuid[]))
  AND (:started_from::timestamptz IS NULL OR s.started_at >= :started_from)
  AND (:started_before::timestamptz IS NULL OR s.started_at < :started_before)
ORDER BY s.id
LIMIT :limit;

-- name: list_sets
-- $1 rule set ids. The rules of each, in their order.
SELECT r.id AS rule_set_id, v.*
FROM rule_sets r
JOIN risk_rule_versions v ON v.id = ANY (r.version_ids)
WHERE r.id = ANY ($1::bigint[])
ORDER BY r.id, array_position(r.version_ids, v.id);
