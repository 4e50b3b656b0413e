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
-- $1 id bigint, $2 at timestamptz, $3 device_fingerprint, $4 user_agent, $5 browser_name, $6 browser_version,
-- $7 operating_system, $8 screen_resolution, $9 ip_address inet. Fills what is unknown, and changes nothing that is known.
UPDATE proctor_sessions
SET taken_up_at = coalesce(taken_up_at, $2),
    device_fingerprint = coalesce(device_fingerprint, $3), user_agent = coalesce(user_agent, $4),
    browser_name = coalesce(browser_name, $5), browser_version = coalesce(browser_version, $6),
    operating_system = coalesce(operating_system, $7), screen_resolution = coalesce(screen_resolution, $8),
    ip_address = coalesce(ip_address, $9)
WHERE id = $1
RETURNING id, attempt_id, mode, status, started_at, ended_at;

-- name: insert_notice
-- $1 session id, $2 event name, $3 severity, $4 noted_at timestamptz. Once a minute; the writer's sweep puts it into the stream.
INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at)
VALUES ($1, $2, floor(extract(epoch FROM $4::timestamptz) / 60), $3, $4)
ON CONFLICT DO NOTHING;

-- name: insert_session
-- $1 attempt_id uuid, $2 exam_id uuid, $3 candidate uuid, $4 organisation uuid, $5 mode smallint, $6 started_at timestamptz,
-- $7 device_fingerprint, $8 user_agent, $9 browser_name, $10 browser_version, $11 operating_system, $12 screen_resolution,
-- $13 ip_address inet
-- Beside the session that was opened with the attempt: a stricter one, or that of an attempt older than this rule. No row comes
-- back when somebody else made it at the same moment.
INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at, taken_up_at, device_fingerprint,
                              user_agent, browser_name, browser_version, operating_system, screen_resolution, ip_address)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (attempt_id, mode) DO NOTHING
RETURNING id, attempt_id, mode, status, started_at, ended_at;

-- name: fetch_session
-- $1 id bigint, $2 organisation uuid, $3 user_id uuid, $4 whole_organisation boolean
SELECT s.*
FROM session_overview s
WHERE s.id = $1 AND s.organisation_id = $2
  AND ($4 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = $3));

-- name: fetch_session_of_attempt
-- $1 attempt_id uuid, $2 organisation uuid, $3 user_id uuid, $4 whole_organisation boolean, $5 mode smallint or null
-- The candidate sees theirs, staff those of their exams. With both modes and none asked for, the later one.
SELECT s.*
FROM session_overview s
WHERE s.attempt_id = $1 AND s.organisation_id = $2 AND ($5::smallint IS NULL OR s.mode = $5)
  AND ($4 OR s.candidate_id = $3 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = $3))
ORDER BY s.id DESC
LIMIT 1;

-- name: list_sessions_of_attempt
-- $1 attempt_id uuid. The caller has checked that the attempt is visible.
SELECT s.* FROM session_overview s WHERE s.attempt_id = $1 ORDER BY s.id;

-- name: hold_session
-- $1 id bigint, $2 organisation uuid, $3 candidate uuid, $4 whole_organisation boolean. Locks the row until the end.
SELECT s.id, s.attempt_id, s.candidate_id, s.mode, s.status, s.started_at, s.ended_at, a.status AS attempt_status, a.expires_at
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
WHERE s.id = $1 AND s.organisation_id = $2 AND ($4 OR s.candidate_id = $3)
FOR UPDATE OF s;

-- name: close_session
-- $1 id bigint, $2 status smallint, $3 ended_at timestamptz
-- A trigger tells the closer, which puts the end into the stream (spec.md P-2).
UPDATE proctor_sessions
SET status = $2, ended_at = greatest($3, started_at)
WHERE id = $1 AND status = 1
RETURNING id, attempt_id, mode, status, started_at, ended_at;

-- name: list_sessions
-- $1 organisation uuid, $2 exam_id or null, $3 candidate or null, $4 status or null, $5 mode or null, $6 before id or null, $7 limit
-- For who sees the whole organisation. Newest first, by id.
SELECT s.*
FROM session_overview s
WHERE s.organisation_id = $1
  AND ($2::uuid IS NULL OR s.exam_id = $2) AND ($3::uuid IS NULL OR s.candidate_id = $3)
  AND ($4::smallint IS NULL OR s.status = $4) AND ($5::smallint IS NULL OR s.mode = $5)
  AND ($6::bigint IS NULL OR s.id < $6)
ORDER BY s.id DESC
LIMIT $7;

-- name: list_granted_sessions
-- $1 … $7 as in list_sessions, $8 user_id uuid, who sees exams of their own and granted ones
-- A page of each of their exams, and of those the newest: a walk along all sessions would pass by everybody else's.
WITH page AS (
    SELECT p.id
    FROM (SELECT DISTINCT exam_id FROM exam_viewers WHERE user_id = $8 AND ($2::uuid IS NULL OR exam_id = $2)) v
    CROSS JOIN LATERAL (
        SELECT s.id
        FROM proctor_sessions s
        WHERE s.exam_id = v.exam_id AND s.organisation_id = $1 AND ($3::uuid IS NULL OR s.candidate_id = $3)
          AND ($4::smallint IS NULL OR s.status = $4) AND ($5::smallint IS NULL OR s.mode = $5)
          AND ($6::bigint IS NULL OR s.id < $6)
        ORDER BY s.id DESC
        LIMIT $7
    ) p
    ORDER BY p.id DESC
    LIMIT $7
)
SELECT s.*
FROM page
JOIN session_overview s ON s.id = page.id
ORDER BY s.id DESC;

-- name: list_sessions_sorted
-- $1 organisation uuid, $2 user_id uuid, $3 whole_organisation boolean, $4 exam_id or null, $5 candidate or null,
-- $6 status or null, $7 mode or null, $8 sort key (the names below), $9 descending boolean, $10 offset, $11 limit
-- Ties, and rows without the key, follow in the order of their ids, so that pages do not overlap.
SELECT s.*
FROM session_overview s
CROSS JOIN LATERAL (
    SELECT CASE $8::text
        WHEN 'id' THEN s.id::float8
        WHEN 'startedAt' THEN extract(epoch FROM s.started_at)::float8
        WHEN 'endedAt' THEN extract(epoch FROM s.ended_at)::float8
        WHEN 'lastHeartbeatAt' THEN extract(epoch FROM s.last_heartbeat_at)::float8
        WHEN 'totalEvents' THEN s.total_events::float8
        WHEN 'totalViolations' THEN s.total_violations::float8
    END AS value
) sort
WHERE s.organisation_id = $1
  AND ($3 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = $2))
  AND ($4::uuid IS NULL OR s.exam_id = $4) AND ($5::uuid IS NULL OR s.candidate_id = $5)
  AND ($6::smallint IS NULL OR s.status = $6) AND ($7::smallint IS NULL OR s.mode = $7)
ORDER BY CASE WHEN $9 THEN -sort.value ELSE sort.value END NULLS LAST, s.id
OFFSET $10
LIMIT $11;

-- name: count_sessions
-- $1 … $7 as in list_sessions_sorted
SELECT count(*)
FROM proctor_sessions s
WHERE s.organisation_id = $1
  AND ($3 OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = s.exam_id AND v.user_id = $2))
  AND ($4::uuid IS NULL OR s.exam_id = $4) AND ($5::uuid IS NULL OR s.candidate_id = $5)
  AND ($6::smallint IS NULL OR s.status = $6) AND ($7::smallint IS NULL OR s.mode = $7);

-- name: list_recent_events
-- $1 session_id bigint, $2 from timestamptz, $3 before timestamptz, $4 limit. Newest first.
SELECT seq, event_type, event_name, severity, is_violation, occurred_at
FROM seen_events
WHERE session_id = $1 AND occurred_at >= $2 AND occurred_at < $3
ORDER BY seq DESC
LIMIT $4;

-- name: list_events
-- $1 session_id bigint, $2 from timestamptz, $3 before timestamptz, $4 after seq, $5 event_type or null, $6 severity or null,
-- $7 severity_min or null, $8 is_violation or null, $9 limit. In order of sequence.
SELECT seq, event_type, event_name, severity, is_violation, is_late, payload::text AS payload, client_at, occurred_at,
       effective_at
FROM seen_events
WHERE session_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND seq > $4
  AND ($5::smallint IS NULL OR event_type = $5) AND ($6::smallint IS NULL OR severity = $6)
  AND ($7::smallint IS NULL OR severity >= $7) AND ($8::boolean IS NULL OR is_violation = $8)
ORDER BY seq
LIMIT $9;
