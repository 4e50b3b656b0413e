-- Statements of the benchmark of analytics, run by hand.

-- name: aggregate_events
-- What `attempt_activity` counts and times, in plain SQL: how many sessions and events that were.
WITH timed AS (
    SELECT e.session_id, e.event_type, e.is_violation, e.is_late, e.occurred_at, e.client_at, s.started_at,
           e.occurred_at - lag(e.occurred_at, 1, s.started_at) OVER (PARTITION BY e.session_id ORDER BY e.seq) AS silence
    FROM events e
    JOIN proctor_sessions s ON s.id = e.session_id
), summed AS (
    SELECT session_id, count(*) AS events, count(*) FILTER (WHERE is_violation) AS violations, count(*) FILTER (WHERE is_late) AS late,
           min(occurred_at) AS first_at, max(occurred_at) AS last_at, max(silence) AS silence,
           count(DISTINCT floor(extract(epoch FROM occurred_at - started_at) / 15)) FILTER (WHERE event_type = 1) AS covered,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM client_at - occurred_at))
               FILTER (WHERE event_type = 1 AND NOT is_late) AS skew_s
    FROM timed
    GROUP BY session_id
), kinds AS (
    SELECT session_id, jsonb_object_agg(event_type, n) AS by_type
    FROM (SELECT session_id, event_type, count(*) AS n FROM events GROUP BY session_id, event_type) t
    GROUP BY session_id
), severities AS (
    SELECT session_id, jsonb_object_agg(severity, n) AS by_severity
    FROM (SELECT session_id, severity, count(*) AS n FROM events GROUP BY session_id, severity) t
    GROUP BY session_id
)
SELECT count(*) AS sessions, sum(events)::bigint AS events, max(silence), max(covered), max(skew_s), max(last_at - first_at),
       count(by_type) AS typed, count(by_severity) AS judged, sum(violations + late)::bigint AS odd
FROM summed
JOIN kinds USING (session_id)
JOIN severities USING (session_id);

-- name: list_visible
-- $1 exam. When each submission was finalised, of those whose own numbers are in what teachers are shown.
SELECT s.attempt_id::text AS attempt_id, s.finalised_at
FROM submissions s
JOIN reporting.submissions r ON r.submission_id = s.id
JOIN reporting.behavior_analysis b ON b.attempt_id = s.attempt_id
WHERE s.exam_id = $1::uuid;
