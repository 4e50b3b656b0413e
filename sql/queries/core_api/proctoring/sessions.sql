-- Proctor sessions and their events. Reads of events are always bounded by session and by time: the bounds are the first
-- and last event that the writer has stored, so that chunks outside them are never touched.

-- name: hold_session_to_take_up
-- $1 attempt_id uuid, $2 mode smallint. The attempt's session of that mode; else a less strict one that waits for its client, or
-- that has ended: while the attempt runs staff have ended it. Locks the row until the end.
SELECT id, attempt_id, mode, status, started_at, ended_at, taken_up_at, device_fingerprint, user_agent, browser_name,
       browser_version, operating_system, screen_resolution, ip_address
FROM proctor_sessions
WHERE attempt_id = $1 AND (mode = $2 OR mode < $2 AND (taken_up_at IS NULL OR status <> 1))
ORDER BY mode DESC
LIMIT 1
FOR UPDATE;

-- name: make_session_stricter
-- $1 id bigint, $2 mode smallint. The caller's own session, while it waits for its client.
SELECT make_session_stricter($1::bigint, $2::smallint);

-- name: take_up_session
-- Fills what is unknown, and changes nothing that is known.
UPDATE proctor_sessions
SET taken_up_at = coalesce(taken_up_at, :at),
    device_fingerprint = coalesce(device_fingerprint, :device_fingerprint), user_agent = coalesce(user_agent, :user_agent),
    browser_name = coalesce(browser_name, :browser_name), browser_version = coalesce(browser_version, :browser_version),
    operating_system = coalesce(operating_system, :operating_system),
    screen_resolution = coalesce(screen_resolution, :screen_resolution),
    ip_address = coalesce(ip_address, :ip_address)
WHERE id = :id
RETURNING id, attempt_id, mode, status, started_at, ended_at;

-- name: insert_notice
-- $1 session id, $2 event name, $3 severity, $4 noted_at timestamptz. Once a minute; the writer's sweep puts it into the stream.
INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at)
VALUES ($1, $2, floor(extract(epoch FROM $4::timestamptz) / 60), $3, $4)
ON CONFLICT DO NOTHING;

-- name: insert_session
-- Beside the session that was opened with the attempt: a stricter one, or that of an attempt older than this rule. No row
-- comes back when somebody else made it at the same moment.
INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at, taken_up_at, device_fingerprint,
                              user_agent, browser_name, browser_version, operating_system, screen_resolution, ip_address)
VALUES (:attempt_id, :exam_id, :candidate_id, :organisation, :mode, :started_at, :started_at, :device_fingerprint, :user_agent,
        :browser_name, :browser_version, :operating_system, :screen_resolution, :ip_address)
ON CONFLICT (attempt_id, mode) DO NOTHING
RETURNING id, attempt_id, mode, status, started_at, ended_at;

-- name: fetch_session
SELECT s.*
FROM session_overview s
WHERE s.id = :id AND s.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = :user_id));

-- name: fetch_session_of_attempt
-- The candidate sees theirs, staff those of their exams. With both modes and none asked for, the later one.
SELECT s.*
FROM session_overview s
WHERE s.attempt_id = :attempt_id AND s.organisation_id = :organisation AND (:mode::smallint IS NULL OR s.mode = :mode)
  AND (:sees_organisation OR s.candidate_id = :user_id
       OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = :user_id))
ORDER BY s.id DESC
LIMIT 1;

-- name: list_sessions_of_attempt
-- $1 attempt_id uuid. The caller has checked that the attempt is visible.
SELECT s.* FROM session_overview s WHERE s.attempt_id = $1 ORDER BY s.id;

-- name: hold_session
-- Locks the row until the end.
SELECT s.id, s.attempt_id, s.candidate_id, s.mode, s.status, s.started_at, s.ended_at, a.status AS attempt_status, a.expires_at
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
WHERE s.id = :id AND s.organisation_id = :organisation AND (:sees_organisation OR s.candidate_id = :user_id)
FOR UPDATE OF s;

-- name: close_session
-- $1 id bigint, $2 status smallint, $3 ended_at timestamptz
-- A trigger tells the closer, which puts the end into the stream (spec.md P-2).
UPDATE proctor_sessions
SET status = $2, ended_at = greatest($3, started_at)
WHERE id = $1 AND status = 1
RETURNING id, attempt_id, mode, status, started_at, ended_at;

-- name: list_sessions
-- For who sees the whole organisation. Newest first, by id.
SELECT s.*
FROM session_overview s
WHERE s.organisation_id = :organisation
  AND (:exam_id::uuid IS NULL OR s.exam_id = :exam_id) AND (:candidate_id::uuid IS NULL OR s.candidate_id = :candidate_id)
  AND (:status::smallint IS NULL OR s.status = :status) AND (:mode::smallint IS NULL OR s.mode = :mode)
  AND (:risk_level::text IS NULL OR s.risk_level = :risk_level)
  AND (:cursor::bigint IS NULL OR s.id < :cursor)
ORDER BY s.id DESC
LIMIT :limit;

-- name: list_granted_sessions
-- For who sees exams of their own and granted ones. A page of each of their exams, and of those the newest: a walk along all
-- sessions would pass by everybody else's.
WITH page AS (
    SELECT p.id
    FROM (SELECT DISTINCT exam_id FROM exam_viewers WHERE user_id = :user_id AND (:exam_id::uuid IS NULL OR exam_id = :exam_id)) v
    CROSS JOIN LATERAL (
        SELECT s.id
        FROM proctor_sessions s
        WHERE s.exam_id = v.exam_id AND s.organisation_id = :organisation
          AND (:candidate_id::uuid IS NULL OR s.candidate_id = :candidate_id)
          AND (:status::smallint IS NULL OR s.status = :status) AND (:mode::smallint IS NULL OR s.mode = :mode)
          AND (:risk_level::text IS NULL OR EXISTS (SELECT FROM reporting.session_risk r
                                                     WHERE r.session_id = s.id AND r.risk_level = :risk_level))
          AND (:cursor::bigint IS NULL OR s.id < :cursor)
        ORDER BY s.id DESC
        LIMIT :limit
    ) p
    ORDER BY p.id DESC
    LIMIT :limit
)
SELECT s.*
FROM page
JOIN session_overview s ON s.id = page.id
ORDER BY s.id DESC;

-- name: list_sessions_sorted
-- Ties, and rows without the key, follow in the order of their ids, so that pages do not overlap.
SELECT s.*
FROM session_overview s
CROSS JOIN LATERAL (
    SELECT CASE :sort::text
        WHEN 'id' THEN s.id::float8
        WHEN 'startedAt' THEN extract(epoch FROM s.started_at)::float8
        WHEN 'endedAt' THEN extract(epoch FROM s.ended_at)::float8
        WHEN 'lastHeartbeatAt' THEN extract(epoch FROM s.last_heartbeat_at)::float8
        WHEN 'totalEvents' THEN s.total_events::float8
        WHEN 'totalViolations' THEN s.total_violations::float8
        WHEN 'riskScore' THEN s.risk_score
        WHEN 'peakRiskScore' THEN s.peak_risk_score
    END AS value
) sort
WHERE s.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = :user_id))
  AND (:exam_id::uuid IS NULL OR s.exam_id = :exam_id) AND (:candidate_id::uuid IS NULL OR s.candidate_id = :candidate_id)
  AND (:status::smallint IS NULL OR s.status = :status) AND (:mode::smallint IS NULL OR s.mode = :mode)
  AND (:risk_level::text IS NULL OR s.risk_level = :risk_level)
ORDER BY CASE WHEN :descending THEN -sort.value ELSE sort.value END NULLS LAST, s.id
OFFSET :offset
LIMIT :limit;

-- name: count_sessions
SELECT count(*)
FROM proctor_sessions s
WHERE s.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = :user_id))
  AND (:exam_id::uuid IS NULL OR s.exam_id = :exam_id) AND (:candidate_id::uuid IS NULL OR s.candidate_id = :candidate_id)
  AND (:status::smallint IS NULL OR s.status = :status) AND (:mode::smallint IS NULL OR s.mode = :mode)
  AND (:risk_level::text IS NULL OR EXISTS (SELECT FROM reporting.session_risk r WHERE r.session_id = s.id AND r.risk_level = :risk_level));

-- name: list_decisions_of
-- $1 session ids bigint[]. Row security keeps candidates from them.
SELECT session_id, id, status, is_finalized, coalesce(overridden_by, decided_by) AS decided_by,
       coalesce(overridden_at, decided_at) AS decided_at
FROM proctor_decisions
WHERE session_id = ANY ($1::bigint[]);

-- name: list_recent_events
-- $1 session_id bigint, $2 from timestamptz, $3 before timestamptz, $4 limit. Newest first.
SELECT seq, event_type, event_name, severity, is_violation, occurred_at
FROM seen_events
WHERE session_id = $1 AND occurred_at >= $2 AND occurred_at < $3
ORDER BY seq DESC
LIMIT $4;

-- name: list_events
-- In order of sequence.
SELECT seq, event_type, event_name, severity, is_violation, is_late, payload::text AS payload, client_at, occurred_at,
       effective_at
FROM seen_events
WHERE session_id = :session_id AND occurred_at >= :since AND occurred_at < :before AND seq > :after
  AND (:event_type::smallint IS NULL OR event_type = :event_type) AND (:severity::smallint IS NULL OR severity = :severity)
  AND (:severity_min::smallint IS NULL OR severity >= :severity_min)
  AND (:is_violation::boolean IS NULL OR is_violation = :is_violation)
ORDER BY seq
LIMIT :limit;
