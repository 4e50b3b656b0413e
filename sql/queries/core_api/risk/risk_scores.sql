-- What a session's score is computed from, and how it came about. The caller has checked that the session is visible.

-- name: is_blinded
-- $1 session id. Whether the caller is still to review it blind.
SELECT EXISTS (SELECT FROM blinded_sessions WHERE session_id = $1);

-- name: list_kept_rules
-- $1 session id. The rules that it keeps, in their order.
SELECT v.*
FROM proctor_sessions s
JOIN rule_sets r ON r.id = s.rule_set_id
JOIN risk_rule_versions v ON v.id = ANY (r.version_ids)
WHERE s.id = $1
ORDER BY array_position(r.version_ids, v.id);

-- name: list_percents
-- $1 session ids. What rules weigh in their attempts, where that is not what they weigh in others.
SELECT s.id AS session_id, w.rule_id, w.percent
FROM proctor_sessions s
CROSS JOIN LATERAL rule_weights(s.attempt_id) w
WHERE s.id = ANY ($1::bigint[]);

-- name: list_gaps
-- $1 session ids. As they are judged now, by session and beginning.
SELECT session_id, started_at, class FROM seen_gaps WHERE session_id = ANY ($1::bigint[]) ORDER BY session_id, started_at;

-- name: stream_told_events
-- Those that rules may be about, in order of the moment at which they took place, which is never after the session's end.
-- `is_ours`: no client sent it.
SELECT e.seq, e.event_type, e.severity, e.client_at IS NULL AND e.effective_at IS NOT NULL AS is_ours,
       coalesce(e.effective_at, e.occurred_at) AS told_at, least(coalesce(e.effective_at, e.occurred_at), :ended_at::timestamptz) AS at
FROM seen_events e
WHERE e.session_id = :session_id AND e.occurred_at >= :since AND e.occurred_at < :before
  AND e.event_type = ANY (:types::smallint[])
ORDER BY at, e.seq;

-- name: count_by_type
-- $1 session id, $2 from timestamptz, $3 before timestamptz. The most frequent first.
SELECT event_type, count(*)::integer AS events
FROM seen_events
WHERE session_id = $1 AND occurred_at >= $2 AND occurred_at < $3
GROUP BY event_type
ORDER BY events DESC, event_type;

-- name: list_snapshots
-- $1 session id, $2 id of the last one of the page before or null, $3 limit. Newest first.
SELECT id, session_id, rule_set_id, as_of, risk_score, peak_risk_score, cause, trace::text AS trace, through_seq, calculated_at
FROM risk_snapshots
WHERE session_id = $1 AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3;
