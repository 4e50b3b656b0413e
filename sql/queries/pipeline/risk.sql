-- Scores of sessions on the fold: what they rest on beside events, what they are carried forward from, where they go.

-- name: read_facts
-- $1 session ids. The rules that each keeps, what they weigh in its attempt, and its silences as they are judged now.
SELECT s.id, s.rule_set_id,
       (SELECT coalesce(json_object_agg(w.rule_id, w.percent), '{}')::text FROM rule_weights(s.attempt_id) w) AS percents,
       (SELECT coalesce(max(a.id), 0) FROM risk_adjustments a WHERE a.attempt_id = s.attempt_id) AS adjustment_id,
       (SELECT count(*) FROM heartbeat_gaps g WHERE g.session_id = s.id AND g.revision > 0)::integer AS judgements,
       (SELECT coalesce(json_agg(json_build_array((extract(epoch FROM j.started_at) * 1000000)::bigint, j.class)
                                 ORDER BY j.started_at), '[]')::text FROM (
            SELECT DISTINCT ON (g.started_at) g.started_at, g.class
            FROM heartbeat_gaps g WHERE g.session_id = s.id ORDER BY g.started_at, g.revision DESC) j) AS gaps
FROM proctor_sessions s
WHERE s.id = ANY ($1::bigint[]);

-- name: read_sets
-- $1 rule set ids. The rules of each, in their order; a set never changes.
SELECT r.id AS rule_set_id, v.rule_id, v.version, v.event_type, v.threshold_count, v.window_seconds, v.risk_points, v.min_severity,
       v.max_triggers, v.gap_class
FROM rule_sets r
JOIN risk_rule_versions v ON v.id = ANY (r.version_ids)
WHERE r.id = ANY ($1::bigint[])
ORDER BY r.id, array_position(r.version_ids, v.id);

-- name: read_states
-- $1 session ids. The scores are hundredths.
SELECT k.session_id, k.version, k.state, k.judgements, k.adjustment_id, k.ended_at IS NOT NULL AS has_ended,
       (r.risk_score * 100)::integer AS score, (r.peak_risk_score * 100)::integer AS peak
FROM reporting.risk_states k
JOIN reporting.session_risk r USING (session_id)
WHERE k.session_id = ANY ($1::bigint[]);

-- name: read_told_events
-- $1 session, $2 types. Everything that is stored of it, for a session that cannot be carried forward.
SELECT e.seq, (extract(epoch FROM coalesce(e.effective_at, e.occurred_at)) * 1000000)::bigint AS told_us, e.event_type, e.severity,
       e.client_at IS NULL AND e.effective_at IS NOT NULL AS is_ours
FROM session_progress p
JOIN events e ON e.session_id = p.session_id AND e.occurred_at >= p.first_event_at AND e.occurred_at <= p.last_event_at
WHERE p.session_id = $1 AND e.event_type = ANY ($2::smallint[])
ORDER BY e.seq;

-- name: upsert_risk
-- $1 rows as a JSON array. Scores that are as they were stay untouched.
INSERT INTO reporting.session_risk AS r (session_id, attempt_id, exam_id, organisation_id, rule_set_id, risk_score,
                                         peak_risk_score, risk_level, as_of)
SELECT session_id, attempt_id, exam_id, organisation_id, rule_set_id, risk_score, peak_risk_score, risk_level, as_of
FROM json_populate_recordset(NULL::reporting.session_risk, $1::json)
ON CONFLICT (session_id) DO UPDATE SET
    risk_score = excluded.risk_score, peak_risk_score = excluded.peak_risk_score, risk_level = excluded.risk_level,
    as_of = excluded.as_of, updated_at = now()
WHERE (r.risk_score, r.peak_risk_score) IS DISTINCT FROM (excluded.risk_score, excluded.peak_risk_score);

-- name: upsert_states
-- One place a session.
INSERT INTO reporting.risk_states (version, session_id, state, judgements, adjustment_id, ended_at)
SELECT :version::text, *
FROM unnest(:sessions::bigint[], :states::bytea[], :judgements::integer[], :adjustments::bigint[], :ended::timestamptz[])
ON CONFLICT (session_id) DO UPDATE SET
    version = excluded.version, state = excluded.state, judgements = excluded.judgements, adjustment_id = excluded.adjustment_id, ended_at = excluded.ended_at;

-- name: insert_snapshots
-- $1 rows as a JSON array.
INSERT INTO risk_snapshots (session_id, rule_set_id, as_of, risk_score, peak_risk_score, cause, trace, through_seq, judgements,
                            adjustment_id, ended_at)
SELECT session_id, rule_set_id, as_of, risk_score, peak_risk_score, cause, trace, through_seq, judgements, adjustment_id, ended_at
FROM json_populate_recordset(NULL::risk_snapshots, $1::json);

-- name: delete_fires
-- $1 session ids
DELETE FROM reporting.session_rule_fires WHERE session_id = ANY ($1::bigint[]);

-- name: insert_fires
-- $1 rows as a JSON array.
INSERT INTO reporting.session_rule_fires
SELECT * FROM json_populate_recordset(NULL::reporting.session_rule_fires, $1::json);

-- name: forget_risk
TRUNCATE reporting.session_risk, reporting.risk_states, reporting.session_rule_fires;
