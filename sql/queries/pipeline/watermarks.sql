-- Statements of the warehouse's watermarks: what has changed since it was published, and how far the archive reaches.

-- name: try_lead
-- One scheduler at a time; held until the connection closes.
SELECT pg_try_advisory_lock(1986359925, 1) AS leads;

-- name: try_publish
-- $1 dataset. One publisher of it at a time; held until the connection closes.
SELECT pg_try_advisory_lock(1986359927, hashtext($1)) AS owned;

-- name: wait_to_publish
-- $1 dataset
SELECT pg_advisory_lock(1986359927, hashtext($1));

-- name: read_moment
SELECT now() AS moment;

-- name: insert_marks
-- $1 dataset, $2 partitions
INSERT INTO reporting.partition_marks (dataset, partition) SELECT $1, unnest($2::text[]);

-- name: list_marks
-- $1 dataset
SELECT id, partition FROM reporting.partition_marks WHERE dataset = $1 ORDER BY id;

-- name: delete_marks
-- $1 ids that were read
DELETE FROM reporting.partition_marks WHERE id = ANY ($1::bigint[]);

-- name: list_marked
-- Datasets with partitions that have changed since they were published.
SELECT DISTINCT dataset FROM reporting.partition_marks;

-- name: is_marked
-- $1 datasets
SELECT EXISTS (SELECT FROM reporting.partition_marks WHERE dataset = ANY ($1::text[])) AS marked;

-- name: has_unarchived
-- Whether any session was touched since the last plan, or a planned batch is open.
SELECT EXISTS (SELECT FROM reporting.archive_batches WHERE confirmed_at IS NULL)
    OR EXISTS (SELECT FROM unarchived_sessions) AS waiting;

-- name: read_open_batch
-- At most one is open.
SELECT id, kind, planned_at FROM reporting.archive_batches WHERE confirmed_at IS NULL;

-- name: read_last_confirmed
SELECT coalesce(max(id), 0) AS id FROM reporting.archive_batches WHERE confirmed_at IS NOT NULL;

-- name: read_last_batch
SELECT coalesce(max(id), 0) AS id FROM reporting.archive_batches;

-- name: insert_batch
-- $1 id, $2 kind
INSERT INTO reporting.archive_batches (id, kind) VALUES ($1, $2) RETURNING planned_at;

-- name: insert_ranges
-- $1 batch. What the touched sessions have beyond the last plan; nothing older than the last archived event can be in it,
-- because server time never runs backwards in a session. The queue and the progress are of one moment, and a session that is
-- touched after it has a row of its own in the queue.
WITH touched AS (
    DELETE FROM unarchived_sessions RETURNING session_id
)
INSERT INTO reporting.archive_ranges (batch_id, session_id, after_seq, through_seq, after_at, through_at)
SELECT $1, p.session_id, coalesce(a.through_seq, 0), p.through_seq, coalesce(a.through_at, p.first_event_at), p.last_event_at
FROM (SELECT DISTINCT session_id FROM touched) t
JOIN session_progress p USING (session_id)
LEFT JOIN reporting.archived_sessions a USING (session_id)
WHERE p.through_seq > coalesce(a.through_seq, 0);

-- name: insert_all_ranges
-- $1 batch. Everything there is, for a rebuild that has forgotten what was archived.
WITH taken AS (
    DELETE FROM unarchived_sessions
)
INSERT INTO reporting.archive_ranges (batch_id, session_id, after_seq, through_seq, after_at, through_at)
SELECT $1, session_id, 0, through_seq, first_event_at, last_event_at
FROM session_progress
WHERE through_seq > 0;

-- name: move_archived
-- $1 batch. The plan's other half: from here on these sequences belong to the batch.
INSERT INTO reporting.archived_sessions AS a (session_id, through_seq, through_at)
SELECT session_id, through_seq, through_at FROM reporting.archive_ranges WHERE batch_id = $1
ON CONFLICT (session_id) DO UPDATE SET through_seq = excluded.through_seq, through_at = excluded.through_at;

-- name: forget_archived
DELETE FROM reporting.archived_sessions;

-- name: abandon_open_batch
-- A whole batch takes in whatever an open one would have.
DELETE FROM reporting.archive_batches WHERE confirmed_at IS NULL;

-- name: read_extent
-- $1 batch. How many sequences at most, and between which moments.
SELECT coalesce(sum(through_seq - after_seq), 0)::bigint AS sequences, min(after_at) AS after_at, max(through_at) AS through_at
FROM reporting.archive_ranges WHERE batch_id = $1;

-- name: list_batch_by_session
-- $1 batch, $2 first moment, $3 last moment. For few rows: through the index, session by session (OFFSET 0 keeps the
-- planner from turning it into a scan of the whole day).
SELECT e.*
FROM reporting.archive_ranges r
CROSS JOIN LATERAL (
    SELECT session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity, is_violation,
           is_late, event_name, payload::text AS payload
    FROM events
    WHERE session_id = r.session_id AND seq > r.after_seq AND seq <= r.through_seq
      AND occurred_at >= r.after_at AND occurred_at <= r.through_at AND occurred_at >= $2 AND occurred_at <= $3
    OFFSET 0
) e
WHERE r.batch_id = $1;

-- name: choose_day
-- $1 batch, $2 first moment, $3 first moment that is over, all as text: for the next statement of this transaction.
SELECT set_config('veritas.batch', $1::text, true), set_config('veritas.day_from', $2::text, true),
       set_config('veritas.day_before', $3::text, true);

-- name: list_batch_by_day
-- For many rows: one pass over the chosen day. Without parameters, because only then the driver streams the result
-- through COPY; with them it would hold all of it in memory first.
SELECT e.session_id, e.seq, e.occurred_at, e.effective_at, e.client_at, e.client, e.client_seq, e.event_type, e.severity,
       e.is_violation, e.is_late, e.event_name, e.payload::text AS payload
FROM events e
JOIN reporting.archive_ranges r
  ON r.batch_id = current_setting('veritas.batch')::bigint AND r.session_id = e.session_id
 AND e.seq > r.after_seq AND e.seq <= r.through_seq
WHERE e.occurred_at >= current_setting('veritas.day_from')::timestamptz
  AND e.occurred_at < current_setting('veritas.day_before')::timestamptz;

-- name: list_owners
-- $1 batch. Attempt and exam of the batch's sessions.
SELECT s.id AS session_id, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id
FROM reporting.archive_ranges r
JOIN proctor_sessions s ON s.id = r.session_id
WHERE r.batch_id = $1;

-- name: plan_telling
-- $1 batch, $2 files of the days that it changes, as JSON. Before the batch is published.
UPDATE reporting.archive_batches SET files = $2::text::jsonb WHERE id = $1;

-- name: read_telling
-- $1 batch
SELECT files::text AS files FROM reporting.archive_batches WHERE id = $1;

-- name: is_archive_told
-- $1 organisation that is none. Whether the ledger has any event of the archive.
SELECT EXISTS (SELECT FROM ledger_events WHERE organisation_id = $1 AND kind = 'archive.published') AS told;

-- name: list_told_archive
-- $1 organisation that is none. What the ledger says of the archive, in order.
SELECT body FROM ledger_events WHERE organisation_id = $1 AND kind = 'archive.published' ORDER BY id;

-- name: confirm_batch
-- $1 batch, $2 events, $3 their moments, $4 their bodies
SELECT confirm_archive($1, $2::uuid[], $3::timestamptz[], $4::bytea[]) AS confirmed;

-- name: delete_ranges
-- $1 batch
DELETE FROM reporting.archive_ranges WHERE batch_id = $1;

-- name: list_erased_sessions
-- Sessions of people who are being erased, each with the UTC days of which its events may be.
SELECT s.id, ARRAY(SELECT d::date::text
                   FROM generate_series(date_trunc('day', p.first_event_at, 'UTC'), p.last_event_at, interval '1 day') d) AS days
FROM erasures x
JOIN proctor_sessions s ON s.candidate_id = x.person_id
JOIN session_progress p ON p.session_id = s.id
WHERE x.status = 'running'
ORDER BY s.id;
