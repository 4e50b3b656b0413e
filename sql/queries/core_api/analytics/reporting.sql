-- An exam in numbers, out of its attempts and of reporting.*.

-- name: count_attempts
-- $1 exam_id uuid. Averages and pass rate are null without scored attempts that count.
SELECT count(*) AS total, count(DISTINCT a.student_id) AS students,
       count(*) FILTER (WHERE a.status = 'in_progress') AS in_progress,
       count(*) FILTER (WHERE a.status = 'completed') AS completed,
       count(*) FILTER (WHERE a.status = 'abandoned') AS abandoned,
       count(*) FILTER (WHERE r.is_void) AS void,
       avg(a.percentage) FILTER (WHERE a.status = 'completed' AND r.is_void IS NULL)::float8 AS average_percentage,
       avg(a.passed::integer) FILTER (WHERE a.status = 'completed' AND r.is_void IS NULL)::float8 AS pass_rate
FROM exam_attempts a
LEFT JOIN submission_results r ON r.attempt_id = a.id AND r.is_void
WHERE a.exam_id = $1;

-- name: sum_activity
-- $1 exam_id uuid
SELECT count(*) AS attempts_monitored, coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(violations), 0)::bigint AS violations, coalesce(sum(late_events), 0)::bigint AS late_events,
       min(first_event_at) AS first_event_at, max(last_event_at) AS last_event_at,
       max(longest_silence_s) AS longest_silence_s, avg(heartbeat_coverage) AS heartbeat_coverage, max(as_of) AS as_of
FROM reporting.attempt_activity
WHERE exam_id = $1;

-- name: sum_activity_counts
-- $1 exam_id uuid. One row per event type name (kind `type`) and per severity number (kind `severity`).
SELECT counted.kind, counted.key, sum(counted.value::bigint)::bigint AS events
FROM reporting.attempt_activity a
CROSS JOIN LATERAL (
    SELECT 'type' AS kind, key, value FROM jsonb_each_text(a.by_type)
    UNION ALL
    SELECT 'severity', key, value FROM jsonb_each_text(a.by_severity)
) counted
WHERE a.exam_id = $1
GROUP BY 1, 2
ORDER BY 1, 3 DESC, 2;

-- name: list_students
-- $1 exam_id uuid, $2 after student uuid or null, $3 limit of students
-- One row per attempt of the next students, by student and start. Activity is null where nothing was projected yet.
WITH page AS (
    SELECT DISTINCT student_id FROM exam_attempts
    WHERE exam_id = $1 AND ($2::uuid IS NULL OR student_id > $2)
    ORDER BY student_id
    LIMIT $3
)
SELECT a.student_id, u.full_name AS student_name, a.id AS attempt_id, a.status, a.started_at, a.completed_at,
       a.score::float8 AS score, a.percentage::float8 AS percentage, a.passed, v.is_void IS NOT NULL AS is_void, a.integrity_score, a.lmi,
       a.dropout_label, a.flagged, r.session_ids, r.events, r.violations, r.by_type, r.by_severity, r.first_event_at, r.last_event_at,
       r.longest_silence_s, r.heartbeat_coverage, r.clock_skew_ms, r.late_events, r.coverage, r.as_of
FROM page
JOIN analysed_attempts a ON a.exam_id = $1 AND a.student_id = page.student_id
JOIN users u ON u.id = a.student_id
LEFT JOIN submission_results v ON v.attempt_id = a.id AND v.is_void
LEFT JOIN reporting.attempt_activity r ON r.attempt_id = a.id
ORDER BY a.student_id, a.started_at, a.id;
