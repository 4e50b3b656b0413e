-- The pipeline's jobs that fail, and how far behind the pipeline is. Every count is bounded: a backlog is never read whole.

-- name: note_failure
-- $1 job, $2 reason, $3 seconds to the next try at most. Twice as long after each failure in a row.
INSERT INTO reporting.failing_jobs AS f (job, reason, retry_at) VALUES ($1, $2, now() + interval '1 second')
ON CONFLICT (job) DO UPDATE SET
    failures = f.failures + 1, reason = excluded.reason,
    retry_at = now() + least(2.0 ^ least(f.failures, 20), $3::float8) * interval '1 second';

-- name: note_success
-- $1 job
DELETE FROM reporting.failing_jobs WHERE job = $1;

-- name: list_failing
SELECT job, failing_since, failures, reason, retry_at <= now() AS is_due FROM reporting.failing_jobs ORDER BY job;

-- name: list_put_aside
-- $1 attempts at most. Those whose sessions are due, and only later: a turn could not fold them.
SELECT DISTINCT attempt_id::text FROM reporting.fold_claims WHERE due_at > now() AND NOT is_patient ORDER BY 1 LIMIT $1;

-- name: read_lags
-- $1 rows at most that are counted of each queue. Sessions that are due, without those whose heartbeats may wait, and since when one
-- is or was touched; events of planned or
-- touched sessions that wait for the archive; ledger events that wait for the sealer, and rows of the outbox that wait for their
-- reader, each with the oldest of those looked at.
SELECT due.rows + fresh.rows AS due_sessions,
       least(due.since, (SELECT marked_at FROM dirty_sessions ORDER BY id LIMIT 1)) AS due_since,
       planned.events + touched.events AS unarchived_events, ledger.rows AS pending_events, ledger.oldest AS oldest_pending,
       told.rows AS outbox_rows, told.oldest AS outbox_since
FROM (SELECT count(*) AS rows, min(due_at) AS since FROM (SELECT due_at FROM reporting.fold_claims WHERE NOT is_patient OR due_at <= now() LIMIT $1::bigint) c) due,
     (SELECT count(DISTINCT session_id) AS rows FROM (SELECT session_id FROM dirty_sessions LIMIT $1) d
      WHERE NOT EXISTS (SELECT FROM reporting.fold_claims c WHERE c.session_id = d.session_id)) fresh,
     (SELECT coalesce(sum(through_seq - after_seq), 0)::bigint AS events
      FROM (SELECT through_seq, after_seq FROM reporting.archive_ranges LIMIT $1) r) planned,
     (SELECT coalesce(sum(p.through_seq - coalesce(a.through_seq, 0)), 0)::bigint AS events
      FROM (SELECT DISTINCT session_id FROM (SELECT session_id FROM unarchived_sessions LIMIT $1) u) t
      JOIN session_progress p USING (session_id)
      LEFT JOIN reporting.archived_sessions a USING (session_id)) touched,
     (SELECT count(*) AS rows, (array_agg(event_id ORDER BY event_id))[1] AS oldest
      FROM (SELECT event_id FROM ledger_pending LIMIT $1) q) ledger,
     (SELECT count(*) AS rows, min(occurred_at) AS oldest FROM (SELECT occurred_at FROM outbox ORDER BY id LIMIT $1) o) told;
