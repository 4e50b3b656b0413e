-- An exam while it runs: its active sessions, and what it comes to. The caller has checked that the exam is visible.

-- name: list_live
-- In the order of their ids. `online_since`: whose last heartbeat is not older is online.
SELECT s.*
FROM live_sessions s
WHERE s.exam_id = :exam_id AND s.status = :status
  AND (:level::text IS NULL OR s.risk_level = :level) AND (:q::text IS NULL OR strpos(folded(s.candidate_name), folded(:q)) > 0)
  AND (:online::boolean IS NULL OR (s.status = 1 AND coalesce(s.last_heartbeat_at >= :online_since, false)) = :online)
  AND (:cursor::bigint IS NULL OR s.id > :cursor)
ORDER BY s.id
LIMIT :limit;

-- name: list_live_sorted
-- Ties, and sessions without the key, follow in the order of their ids, so that pages do not overlap.
SELECT s.*
FROM live_sessions s
CROSS JOIN LATERAL (
    SELECT CASE :sort::text
        WHEN 'riskScore' THEN s.risk_score::float8
        WHEN 'peakRiskScore' THEN s.peak_risk_score::float8
        WHEN 'totalViolations' THEN s.total_violations::float8
        WHEN 'lastHeartbeatAt' THEN extract(epoch FROM s.last_heartbeat_at)::float8
    END AS value
) sort
WHERE s.exam_id = :exam_id AND s.status = :status
  AND (:level::text IS NULL OR s.risk_level = :level) AND (:q::text IS NULL OR strpos(folded(s.candidate_name), folded(:q)) > 0)
  AND (:online::boolean IS NULL OR (s.status = 1 AND coalesce(s.last_heartbeat_at >= :online_since, false)) = :online)
ORDER BY CASE WHEN :descending THEN -sort.value ELSE sort.value END NULLS LAST,
         CASE WHEN :sort = 'candidateName' THEN folded(s.candidate_name) END, s.id
OFFSET :offset
LIMIT :limit;

-- name: count_dashboard
-- $1 exam_id uuid. A row for each state, level of the peak score (null: not scored yet) and decision (null: none).
SELECT s.status, s.risk_level, d.status AS decision, coalesce(d.is_finalized, false) AS is_final, count(*) AS sessions,
       sum(s.peak_risk_score)::float8 AS peaks
FROM live_sessions s
LEFT JOIN proctor_decisions d ON d.session_id = s.id
WHERE s.exam_id = $1
GROUP BY 1, 2, 3, 4;

-- name: count_live
SELECT count(*)
FROM live_sessions s
WHERE s.exam_id = :exam_id AND s.status = :status
  AND (:level::text IS NULL OR s.risk_level = :level) AND (:q::text IS NULL OR strpos(folded(s.candidate_name), folded(:q)) > 0)
  AND (:online::boolean IS NULL OR (s.status = 1 AND coalesce(s.last_heartbeat_at >= :online_since, false)) = :online);

-- name: list_top_violations
-- $1 exam_id uuid, $2 names of the types that count, $3 how many.
SELECT t.key AS type, sum(t.value::bigint)::bigint AS events
FROM reporting.attempt_activity a
CROSS JOIN LATERAL jsonb_each_text(a.by_type) t
WHERE a.exam_id = $1 AND t.key = ANY($2::text[])
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT $3;

-- name: read_whole
-- $1 exam_id uuid, $2 how many. The sessions that run, the newest ones, and the position at which they were read; one row without
-- a session where none runs.
SELECT pg_current_snapshot()::text AS position, s.*
FROM (VALUES (1)) once (n)
LEFT JOIN LATERAL (
    SELECT * FROM live_sessions WHERE exam_id = $1 AND status = 1 ORDER BY id DESC LIMIT $2
) s ON true
ORDER BY s.id;

-- name: read_changes
-- One place for each who asks: an exam, and the position up to which it is known. The sessions that have changed since, as they
-- are at the new position, with the alerts among that; one row without a session where nothing has. `is_ahead`: the position is
-- none of this database's.
WITH asked AS (
    SELECT place, exam_id, position::pg_snapshot AS position
    FROM unnest(:places::int[], :exams::uuid[], :positions::text[]) AS t (place, exam_id, position)
), changed AS MATERIALIZED (
    SELECT a.place, c.session_ids, c.event_ids, c.risen_ids, c.noted_at
    FROM asked a
    CROSS JOIN LATERAL (
        SELECT * FROM live_changes c
        WHERE c.exam_id = a.exam_id AND c.xid >= pg_snapshot_xmin(a.position) AND NOT pg_visible_in_snapshot(c.xid, a.position)
    ) c
), touched AS (
    SELECT place, session_id, array_agg(event_id) FILTER (WHERE event_id IS NOT NULL) AS event_ids, bool_or(has_risen) AS has_risen,
           min(noted_at) AS noted_at
    FROM (SELECT place, noted_at, unnest(session_ids) AS session_id, NULL::bigint AS event_id, false AS has_risen FROM changed
          UNION ALL SELECT place, noted_at, id >> 22, id, false FROM changed CROSS JOIN LATERAL unnest(event_ids) id
          UNION ALL SELECT place, noted_at, unnest(risen_ids), NULL, true FROM changed) u
    GROUP BY place, session_id
)
SELECT a.place, pg_current_snapshot()::text AS position, t.event_ids, t.has_risen, t.noted_at, s.*,
       pg_snapshot_xmax(a.position) > pg_snapshot_xmax(pg_current_snapshot()) AS is_ahead
FROM asked a
LEFT JOIN touched t ON t.place = a.place
LEFT JOIN LATERAL (SELECT * FROM live_sessions s WHERE s.id = t.session_id LIMIT 1) s ON true
ORDER BY a.place, s.id;

-- name: list_alerting
-- $1 sessions, $2 sequences, $3 since. Events that are known to be there; none is older.
SELECT e.session_id, e.seq, e.event_type, e.event_name, e.severity, e.is_violation, e.payload::text AS payload, e.occurred_at
FROM unnest($1::bigint[], $2::int[]) AS t (session_id, seq)
JOIN seen_events e ON e.session_id = t.session_id AND e.seq = t.seq AND e.occurred_at >= $3::timestamptz;

-- name: list_lost
-- $1 users, $2 exams: one place a watch. Those whose exam is no longer the user's to see.
SELECT w.user_id, w.exam_id
FROM unnest($1::uuid[], $2::uuid[]) AS w (user_id, exam_id)
WHERE NOT EXISTS (SELECT FROM exams e WHERE e.id = w.exam_id AND e.creator_id = w.user_id)
  AND NOT EXISTS (SELECT FROM teacher_exam_permissions p WHERE p.exam_id = w.exam_id AND p.teacher_id = w.user_id AND p.can_view);

-- name: delete_old_changes
-- $1 before
DELETE FROM live_changes WHERE noted_at < $1::timestamptz;

-- name: read_client_changes
-- $1 the position up to which changes are known; null: none. The sessions whose client has something to be told since, of all
-- exams, null where none has; and the new position.
SELECT pg_current_snapshot()::text AS position,
       (SELECT array_agg(DISTINCT id)
        FROM live_changes c CROSS JOIN LATERAL unnest(c.client_ids) id
        WHERE c.client_ids IS NOT NULL AND c.xid >= pg_snapshot_xmin($1::text::pg_snapshot)
          AND NOT pg_visible_in_snapshot(c.xid, $1::text::pg_snapshot)) AS session_ids;

-- name: list_client_states
-- $1 sessions
SELECT s.id, s.status, a.expires_at,
       EXISTS (SELECT FROM attempt_pauses p WHERE p.attempt_id = s.attempt_id AND p.resumed_at IS NULL) AS is_paused
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
WHERE s.id = ANY($1::bigint[]);
