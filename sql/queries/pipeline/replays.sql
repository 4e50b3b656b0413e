-- What a session's scores are computed from once more: its snapshots, and everything that their positions lead to.

-- name: find_session
-- $1 session id. Whose attempt it is, which rules it keeps, where its events lie, and how far the archive has them.
SELECT s.attempt_id, s.rule_set_id, p.first_event_at, p.last_event_at, coalesce(a.through_seq, 0) AS archived_seq
FROM proctor_sessions s
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN reporting.archived_sessions a ON a.session_id = s.id
WHERE s.id = $1;

-- name: list_snapshots_back
-- $1 session id, $2 limit. Newest first; times in microseconds, scores in hundredths.
SELECT id, (extract(epoch FROM as_of) * 1000000)::bigint AS as_of_us, (risk_score * 100)::integer AS score,
       (peak_risk_score * 100)::integer AS peak, cause, trace::text AS trace, through_seq, judgements, adjustment_id,
       (extract(epoch FROM ended_at) * 1000000)::bigint AS ended_us
FROM risk_snapshots
WHERE session_id = $1
ORDER BY id DESC
LIMIT $2;

-- name: list_weights
-- $1 attempt uuid, $2 adjustments bigint[]. What rules weighed in the attempt after each of them, where that is not all.
SELECT p.adjustment_id, w.rule_id, w.percent
FROM unnest($2::bigint[]) AS p (adjustment_id)
CROSS JOIN LATERAL rule_weights($1::uuid, p.adjustment_id) w;

-- name: list_judged
-- $1 session id. Silences and their judgements, in the order in which they were recorded; `place` counts judgements from 1, and
-- is 0 where a silence was seen and not yet judged.
SELECT (extract(epoch FROM started_at) * 1000000)::bigint AS started_us, class,
       (CASE WHEN revision > 0 THEN count(*) FILTER (WHERE revision > 0)
            OVER (ORDER BY recorded_at, started_at, revision ROWS UNBOUNDED PRECEDING) ELSE 0 END)::integer AS place
FROM heartbeat_gaps
WHERE session_id = $1
ORDER BY place, started_at;
