-- What waits for a review.

-- name: list_pending
-- Of sessions that have ended with their attempt, without a final decision, never the caller's own. The highest peak first, of
-- equal ones the oldest; `rank` and `after` are of the last row before. The ranks of a level are those above `rank_above`, up to
-- `rank_max`. `to_decide`: only what the caller may decide on, and has not escalated themselves.
--
-- What two people review waits neither for who has reviewed it nor, once both have, for anybody but adjudicators; while it is
-- reviewed blind, its rank says nothing of its score, and is of no level.
--
-- A page of each exam of theirs, and of those the highest; for who sees the whole organisation a page of all, `exam_id` null.
WITH reached AS (
    SELECT :exam_id::uuid AS exam_id WHERE :sees_organisation
    UNION ALL
    SELECT exam_id FROM exam_viewers
    WHERE NOT :sees_organisation AND user_id = :user_id AND (:exam_id::uuid IS NULL OR exam_id = :exam_id)
      AND (NOT :to_decide OR exam_id IN (SELECT exam_id FROM judged_exams))
), page AS MATERIALIZED (
    SELECT q.*
    FROM (SELECT DISTINCT exam_id FROM reached) v
    CROSS JOIN LATERAL (
        SELECT q.session_id, q.exam_id, q.rank, cardinality(q.reviewed_by) AS reviews
        FROM pending_reviews q
        CROSS JOIN LATERAL (
            -- Not joined: a plan that expects few rows would join and sort all that waits.
            SELECT (SELECT c.claimed_by FROM review_claims c WHERE c.session_id = q.session_id AND c.expires_at > :now) AS claimed_by,
                   (SELECT d.status = 5 AND d.decided_by = :user_id FROM proctor_decisions d WHERE d.session_id = q.session_id)
                       AS was_escalated
        ) l
        WHERE q.organisation_id = :organisation AND q.candidate_id <> :user_id
          AND CASE WHEN :sees_organisation AND :exam_id::uuid IS NULL THEN true ELSE q.exam_id = v.exam_id END
          AND (:session_id::bigint IS NULL OR q.session_id = :session_id)
          AND (:ended_before::timestamptz IS NULL OR q.ended_at < :ended_before)
          AND (:rank::float8 IS NULL OR q.rank < :rank OR (q.rank = :rank AND q.session_id > :after::bigint))
          AND (:rank_above::float8 IS NULL OR (q.rank > :rank_above AND q.rank <= :rank_max::float8))
          AND CASE :claimed::text WHEN 'by_me' THEN l.claimed_by = :user_id WHEN 'by_others' THEN l.claimed_by <> :user_id
                                  WHEN 'by_nobody' THEN l.claimed_by IS NULL ELSE true END
          AND :user_id <> ALL (q.reviewed_by)
          AND (cardinality(q.reviewed_by) < 2 OR :sees_organisation OR q.exam_id IN (SELECT exam_id FROM adjudicated_exams))
          AND NOT (:to_decide AND l.was_escalated IS TRUE)
        ORDER BY q.rank DESC, q.session_id
        LIMIT :limit
    ) q
    ORDER BY q.rank DESC, q.session_id
    LIMIT :limit
)
SELECT p.session_id AS proctor_session_id, o.attempt_id, o.exam_id, o.exam_title AS exam_title_en, o.candidate_id, o.candidate_name,
       o.mode, o.started_at, o.ended_at, o.total_events, o.total_violations, o.risk_score, o.peak_risk_score, o.risk_level,
       p.rank, d.id AS decision_id, d.status AS decision_status, c.claimed_by, c.expires_at AS claim_expires_at,
       u.full_name AS claimed_by_name,
       CASE WHEN EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = p.session_id) THEN 'blind'
            WHEN p.reviews = 2 THEN 'adjudication' ELSE 'single' END AS review
FROM page p
JOIN session_overview o ON o.id = p.session_id
LEFT JOIN proctor_decisions d ON d.session_id = p.session_id
LEFT JOIN review_claims c ON c.session_id = p.session_id AND c.expires_at > :now
LEFT JOIN users u ON u.id = c.claimed_by
ORDER BY p.rank DESC, p.session_id;

-- name: list_grounds
-- $1 session ids bigint[], which the caller may see. What there is to judge each of them by, beside its score and its rules.
SELECT s.id AS session_id, y.heartbeat_coverage AS coverage, g.unexplained_gaps, g.network_gaps, v.stored, v.missing, v.damaged,
       coalesce(f.kind = 'flag', false) AS is_flagged, o.findings
FROM proctor_sessions s
LEFT JOIN reporting.attempt_activity y ON y.attempt_id = s.attempt_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE class = 'unexplained') AS unexplained_gaps, count(*) FILTER (WHERE class = 'network') AS network_gaps
    FROM seen_gaps WHERE session_id = s.id
) g
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status IN (2, 3) AND gone_at IS NULL) AS stored, count(*) FILTER (WHERE status <> 2) AS missing,
           count(*) FILTER (WHERE damaged_at IS NOT NULL) AS damaged
    FROM evidence WHERE session_id = s.id
) v
LEFT JOIN LATERAL (
    SELECT kind FROM session_actions WHERE session_id = s.id AND kind IN ('flag', 'unflag') ORDER BY id DESC LIMIT 1
) f ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS findings
    FROM submission_subjects b
    JOIN submissions m ON m.id = b.submission_id AND m.kind = 'observation' AND m.exam_id = s.exam_id
    WHERE b.subject_id = s.candidate_id
) o
WHERE s.id = ANY ($1::bigint[]);

-- name: list_exempt
-- $1 session ids bigint[], which the caller may see. Rules of theirs that weigh less, or nothing, in their attempts.
SELECT s.id AS session_id, v.name_en, v.name_ar, w.percent
FROM proctor_sessions s
CROSS JOIN LATERAL rule_weights(s.attempt_id) w
JOIN rule_sets r ON r.id = s.rule_set_id
JOIN risk_rule_versions v ON v.id = ANY (r.version_ids) AND v.rule_id = w.rule_id
WHERE s.id = ANY ($1::bigint[]) AND w.percent < 100
ORDER BY s.id, w.rule_id;

-- name: list_fired
-- $1 session ids bigint[], which the caller may see. The rules that each of them met, with what became of all sessions of the
-- organisation that met them.
SELECT session_id, name_en, name_ar, triggers, upheld, cleared FROM fired_rules($1::bigint[]) ORDER BY session_id, rule_id;
