-- Statements of what events are compared with in an exam, and of what each session has put into it.

-- name: list_calibrations
-- $1 exam ids as text, $2 version
SELECT exam_id::text, state FROM reporting.exam_calibrations WHERE exam_id = ANY ($1::text[]::uuid[]) AND version = $2;

-- name: delete_calibrations
-- $1 exam ids as text. With every share: nothing of them is counted any more.
WITH shares AS (
    DELETE FROM reporting.calibration_shares WHERE exam_id = ANY ($1::text[]::uuid[])
)
DELETE FROM reporting.exam_calibrations WHERE exam_id = ANY ($1::text[]::uuid[]);

-- name: take_shares
-- $1 exam ids as text, $2 attempt ids as text or null for all
DELETE FROM reporting.calibration_shares
WHERE exam_id = ANY ($1::text[]::uuid[]) AND ($2::text[] IS NULL OR attempt_id = ANY ($2::text[]::uuid[]))
RETURNING session_id, exam_id::text, organisation_id::text, mode, is_upheld, minutes, cells, counts;

-- name: put_shares
-- $1 exam ids as text, $2 attempt ids as text or null for all. What is there of their sessions now.
INSERT INTO reporting.calibration_shares (session_id, attempt_id, exam_id, organisation_id, mode, is_upheld, minutes, cells, counts)
SELECT session_id, attempt_id, exam_id, organisation_id, mode, is_upheld, minutes, cells, counts
FROM reporting.session_cells
WHERE exam_id = ANY ($1::text[]::uuid[]) AND ($2::text[] IS NULL OR attempt_id = ANY ($2::text[]::uuid[]))
RETURNING session_id, exam_id::text, organisation_id::text, mode, is_upheld, minutes, cells, counts;

-- name: put_calibration
-- $1 exam id as text, $2 version, $3 state
INSERT INTO reporting.exam_calibrations (exam_id, version, state) VALUES ($1::text::uuid, $2, $3)
ON CONFLICT (exam_id) DO UPDATE SET version = excluded.version, state = excluded.state;
