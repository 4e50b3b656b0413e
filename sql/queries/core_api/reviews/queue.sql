-- What waits for a review.

-- name: list_pending
-- Of sessions that have ended with their attempt, without a final decision, never the caller's own. The highest peak first, of
-- equal ones the oldest; `rank` and `after` are of the last row before. `to_decide`: only what the caller may decide on, and has
-- not escalated themselves.
WITH page AS MATERIALIZED (
    SELECT o.id AS proctor_session_id, o.attempt_id, o.exam_id, o.exam_title AS exam_title_en, o.candidate_id, o.candidate_name,
           o.mode, o.started_at, o.ended_at, o.total_events, o.total_violations, o.risk_score, o.peak_risk_score, o.risk_level,
           coalesce(o.peak_risk_score, -1) AS rank, d.id AS decision_id, d.status AS decision_status, c.claimed_by,
           c.expires_at AS claim_expires_at
    FROM session_overview o
    JOIN exam_attempts a ON a.id = o.attempt_id AND a.status <> 'in_progress'
    LEFT JOIN proctor_decisions d ON d.session_id = o.id
    LEFT JOIN review_claims c ON c.session_id = o.id AND c.expires_at > :now
    WHERE o.organisation_id = :organisation AND o.status = 2 AND o.candidate_id <> :user_id AND d.is_finalized IS NOT TRUE
      AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = o.exam_id AND v.user_id = :user_id))
      AND (:session_id::bigint IS NULL OR o.id = :session_id) AND (:exam_id::uuid IS NULL OR o.exam_id = :exam_id)
      AND (:level::text IS NULL OR o.risk_level = :level)
      AND (:ended_before::timestamptz IS NULL OR o.ended_at < :ended_before)
      AND CASE :claimed::text WHEN 'by_me' THEN c.claimed_by = :user_id WHEN 'by_others' THEN c.claimed_by <> :user_id
                              WHEN 'by_nobody' THEN c.claimed_by IS NULL ELSE true END
      AND (NOT :to_decide OR (:sees_organisation OR EXISTS (SELECT FROM judged_exams j WHERE j.exam_id = o.exam_id))
                              AND NOT coalesce(d.status = 5 AND d.decided_by = :user_id, false))
      AND (:rank::float8 IS NULL OR coalesce(o.peak_risk_score, -1) < :rank
           OR (coalesce(o.peak_risk_score, -1) = :rank AND o.id > :after::bigint))
    ORDER BY rank DESC, o.id
    LIMIT :limit
)
SELECT p.*, u.full_name AS claimed_by_name, y.heartbeat_coverage AS coverage, g.unexplained AS unexplained_gaps,
       g.network AS network_gaps
FROM page p
LEFT JOIN users u ON u.id = p.claimed_by
LEFT JOIN reporting.attempt_activity y ON y.attempt_id = p.attempt_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.class = 'unexplained') AS unexplained, count(*) FILTER (WHERE s.class = 'network') AS network
    FROM seen_gaps s WHERE s.session_id = p.proctor_session_id
) g
ORDER BY p.rank DESC, p.proctor_session_id;

-- name: list_fired
-- $1 session ids bigint[], which the caller may see. The rules that each of them met, with what became of all sessions of the
-- organisation that met them.
SELECT session_id, name_en, name_ar, triggers, upheld, cleared FROM fired_rules($1::bigint[]) ORDER BY session_id, rule_id;
