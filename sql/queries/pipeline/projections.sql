-- Statements of what is projected of events, for teachers and analysts: one row an attempt.

-- name: read_one_snapshot
-- First in a transaction: everything it reads is of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: upsert_activity
-- $1 rows as a JSON array of objects with the table's columns. Exams of those that are new or changed come back.
INSERT INTO reporting.attempt_activity AS a
SELECT r.* FROM json_populate_recordset(NULL::reporting.attempt_activity, $1::json) r
ORDER BY r.attempt_id
ON CONFLICT (attempt_id) DO UPDATE SET
    exam_id = excluded.exam_id, student_id = excluded.student_id, session_ids = excluded.session_ids,
    events = excluded.events, violations = excluded.violations, by_type = excluded.by_type,
    by_severity = excluded.by_severity, first_event_at = excluded.first_event_at, last_event_at = excluded.last_event_at,
    longest_silence_s = excluded.longest_silence_s, heartbeat_coverage = excluded.heartbeat_coverage,
    clock_skew_ms = excluded.clock_skew_ms, late_events = excluded.late_events, metric_version = excluded.metric_version,
    coverage = excluded.coverage, reasons = excluded.reasons, as_of = excluded.as_of
WHERE a IS DISTINCT FROM excluded
RETURNING exam_id::text;

-- name: delete_all_activity
DELETE FROM reporting.attempt_activity;
