-- One attempt's monitoring, live from the events. Always bounded by session and by the time of its first and last event.

-- name: count_timeline
-- $1 session_ids bigint[], $2 from timestamptz, $3 before timestamptz, $4 bucket interval
-- One row per bucket, type and severity. A back-filled event counts where it happened, not where it arrived.
SELECT time_bucket($4::interval, coalesce(effective_at, occurred_at)) AS bucket_at, event_type, severity, count(*) AS events,
       count(*) FILTER (WHERE is_violation) AS violations
FROM seen_events
WHERE session_id = ANY ($1::bigint[]) AND occurred_at >= $2 AND occurred_at < $3
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: read_projected_counts
-- $1 attempt_id uuid. No row before the first projection.
SELECT by_type, by_severity FROM reporting.attempt_activity WHERE attempt_id = $1;

-- name: list_monitoring_events
-- By sequence.
SELECT m.id, m.proctor_session_id, m.sequence_number, m.event_type, m.event_name, m.severity, m.is_violation, m.is_late,
       m.data_payload::json AS data_payload, m.is_anomaly, m.anomaly_score, m.description, m.client_timestamp, m.server_timestamp, m.effective_at
FROM seen_monitoring_events m
WHERE m.proctor_session_id = :session_id AND m.server_timestamp >= :since AND m.server_timestamp < :before
  AND m.sequence_number > :after
ORDER BY m.sequence_number
LIMIT :limit;

-- name: list_session_outages
-- $1 session_ids bigint[], $2 shards in all, $3 limit. Times in which nothing was taken for a session that ran.
SELECT s.id AS session_id, o.started_at, o.ended_at
FROM seen_sessions s
JOIN ingest_outages o ON o.shard = s.id % $2::int AND o.ended_at > s.started_at AND o.started_at < coalesce(s.ended_at, 'infinity')
WHERE s.id = ANY ($1::bigint[])
ORDER BY s.id, o.started_at
LIMIT $3;

-- name: list_gaps
-- $1 session_ids bigint[], $2 limit. Each gap as it is judged now.
SELECT session_id, started_at, ended_at, class, missed, outage_s,
       CASE WHEN covered IS NOT NULL
            THEN (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(covered) r)::integer END AS covered
FROM seen_gaps
WHERE session_id = ANY ($1::bigint[])
ORDER BY session_id, started_at
LIMIT $2;

-- name: list_clock_steps
-- $1 session_ids bigint[], $2 limit
SELECT session_id, at, old_offset_us, new_offset_us
FROM seen_clock_steps
WHERE session_id = ANY ($1::bigint[])
ORDER BY session_id, at
LIMIT $2;
