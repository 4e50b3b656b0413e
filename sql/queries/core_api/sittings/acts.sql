-- What staff do in proctor sessions; asked as the system, by who has checked that the sessions are theirs.

-- name: note_acts
-- One row for each session, with its action. The writer's sweep puts the notices into the stream and tells ingest the commands.
WITH acted AS (
    INSERT INTO session_actions (session_id, kind, reason, acted_by, acted_at)
    SELECT given.session_id, :kind, :reason, :acted_by, :at
    FROM unnest(:session_ids::bigint[]) AS given (session_id)
    RETURNING id, session_id
), commanded AS (
    INSERT INTO session_commands (id, session_id, kind, text_en, text_ar, expires_at, paused_until, created_at)
    SELECT id, session_id, :kind, :text_en, :text_ar, :expires_at, :paused_until, :at FROM acted WHERE :is_command
), noticed AS (
    INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at, event_type, payload)
    SELECT session_id, :event_name, id, :severity, :at, :event_type,
           jsonb_build_object('actionId', id) || :payload::text::jsonb
    FROM acted
)
SELECT id, session_id FROM acted;

-- name: hold_running_attempt
-- $1 attempt uuid. Locks it, so that nobody hands in meanwhile. Its clock, the terms that it began under, and its pause that
-- nobody has ended yet: `expires_before` is null where there is none.
SELECT a.id, a.exam_id, a.student_id, a.status, a.started_at, a.expires_at, a.evaluation_version_id, a.attempt_number, a.policy,
       e.organisation_id, a.max_score::text AS max_score, e.passing_score::text AS passing_score, a.paused_at, a.paused_until,
       a.paused_seconds,
       (SELECT p.expires_before FROM attempt_pauses p WHERE p.attempt_id = a.id AND p.resumed_at IS NULL) AS expires_before
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = $1
FOR UPDATE OF a;

-- name: list_active_sessions
-- $1 attempt uuid
SELECT id, candidate_id FROM proctor_sessions WHERE attempt_id = $1 AND status = 1 ORDER BY id;

-- name: set_clock
UPDATE exam_attempts
SET expires_at = :expires_at, paused_at = :paused_at, paused_until = :paused_until, paused_seconds = :paused_seconds
WHERE id = :id;

-- name: open_pause
INSERT INTO attempt_pauses (attempt_id, paused_at, expires_before, paused_by, reason)
VALUES (:attempt_id, :at, :expires_before, :paused_by, :reason);

-- name: close_pause
-- $1 attempt, $2 at, $3 who, null where it ended by itself
UPDATE attempt_pauses SET resumed_at = $2, resumed_by = $3 WHERE attempt_id = $1 AND resumed_at IS NULL;

-- name: extend_pause
-- $1 attempt, $2 seconds. Extra time that comes in a pause is not the pause's.
UPDATE attempt_pauses SET expires_before = expires_before + $2 * interval '1 second'
WHERE attempt_id = $1 AND resumed_at IS NULL;

-- name: grant_time
INSERT INTO time_grants (id, attempt_id, seconds, assignment_id, reason, granted_by, granted_at)
VALUES (:id, :attempt_id, :seconds, :assignment_id, :reason, :granted_by, :at);

-- name: sum_grants_of_overrides
-- $1 attempt uuid. Seconds that overrides have given it since it began.
SELECT coalesce(sum(seconds), 0)::bigint FROM time_grants WHERE attempt_id = $1 AND assignment_id IS NOT NULL;

-- name: list_lapsed
-- $1 now, $2 at and $3 id of the last row before, $4 limit. Attempts whose pause has lasted as long as it may.
SELECT id, paused_until AS at FROM exam_attempts
WHERE paused_at IS NOT NULL AND status = 'in_progress' AND paused_until <= $1 AND expires_at > $1 AND (paused_until, id) > ($2, $3)
ORDER BY paused_until, id
LIMIT $4;
