-- Statements of the writer, in the order of its transaction.

-- name: try_own_shard
-- $1 shard. Elects the owner, so that two writers on one shard are rare; the compare-and-set below is what is safe.
SELECT pg_try_advisory_lock(1986359924, $1::int) AS owned;

-- name: read_offset
-- $1 shard
SELECT epoch, counter FROM stream_offsets WHERE shard = $1;

-- name: advance_offset
-- $1 shard, $2 epoch, $3 counter that was, $4 counter that will be. No row: another writer was here, or the epoch is
-- over; the transaction must not go on. The row's lock settles a commit whose outcome nobody saw. Also the sessions in
-- quarantine, null for none: their rows are not tried.
UPDATE stream_offsets SET counter = $4, stored_at = now(), stopped_at = NULL, stopped_why = NULL
WHERE shard = $1 AND epoch = $2 AND counter = $3
RETURNING counter, (SELECT array_agg(DISTINCT session_id) FROM session_quarantines WHERE ends_at > now()) AS quarantined;

-- name: stop_shard
-- $1 shard, $2 why. For those who wait for it; the next batch that is stored clears it.
UPDATE stream_offsets SET stopped_at = coalesce(stopped_at, now()), stopped_why = $2 WHERE shard = $1 RETURNING shard;

-- name: copy_events
COPY events (session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity,
             is_violation, is_late, event_name, payload)
FROM STDIN (FORMAT binary);

-- name: advance_sessions
-- Arrays of one place a session; `gap_s` between heartbeats that may be a gap, `grace_s` until one is judged. Also leaves a
-- dirty row and one for the archive for each, so that nothing derived can vanish in a crash; the former says where more
-- heartbeats are all that came.
WITH touched AS (
    SELECT *
    FROM unnest(:sessions::bigint[], :through::int[], :events::int[], :violations::int[], :first_us::bigint[], :last_us::bigint[],
                :heartbeat_us::bigint[], :offset_us::bigint[],
                :first_heartbeat_us::bigint[], :last_other_seqs::int[], :last_other_types::smallint[], :last_other_names::text[],
                :last_other_us::bigint[])
         AS t (session_id, through_seq, events, violations, first_us, last_us, heartbeat_us, offset_us, first_heartbeat_us,
               last_other_seq, last_other_type, last_other_name, last_other_us)
), heard AS (
    SELECT t.session_id, timestamptz 'epoch' + t.first_heartbeat_us * interval '1 microsecond' AS heard_at,
           coalesce(p.last_heartbeat_at, (SELECT s.started_at FROM proctor_sessions s WHERE s.id = t.session_id)) AS before
    FROM touched t
    LEFT JOIN session_progress p ON p.session_id = t.session_id
    WHERE t.first_heartbeat_us IS NOT NULL
), returned AS (
    INSERT INTO gap_marks (session_id, kind, started_at, ended_at, due_at)
    SELECT session_id, 'returned', before, heard_at, now() + :grace_s::float8 * interval '1 second'
    FROM heard
    WHERE heard_at > before + :gap_s::float8 * interval '1 second'
), marked AS (
    INSERT INTO dirty_sessions (session_id, cause)
    SELECT session_id, CASE WHEN last_other_seq IS NULL AND through_seq > events THEN 'heartbeat' END FROM touched
), queued AS (
    INSERT INTO unarchived_sessions (session_id) SELECT session_id FROM touched
)
INSERT INTO session_progress AS p (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at,
                                   last_heartbeat_at, clock_offset_us, last_other_seq, last_other_type, last_other_name,
                                   last_other_at)
SELECT session_id, through_seq, events, violations, timestamptz 'epoch' + first_us * interval '1 microsecond',
       timestamptz 'epoch' + last_us * interval '1 microsecond',
       timestamptz 'epoch' + heartbeat_us * interval '1 microsecond', offset_us, last_other_seq, last_other_type, last_other_name,
       timestamptz 'epoch' + last_other_us * interval '1 microsecond'
FROM touched
ON CONFLICT (session_id) DO UPDATE SET
    through_seq = excluded.through_seq,
    total_events = p.total_events + excluded.total_events,
    total_violations = p.total_violations + excluded.total_violations,
    last_event_at = excluded.last_event_at,
    last_heartbeat_at = coalesce(excluded.last_heartbeat_at, p.last_heartbeat_at),
    clock_offset_us = coalesce(excluded.clock_offset_us, p.clock_offset_us),
    last_other_seq = coalesce(excluded.last_other_seq, p.last_other_seq),
    last_other_type = coalesce(excluded.last_other_type, p.last_other_type),
    last_other_name = CASE WHEN excluded.last_other_type IS NULL THEN p.last_other_name ELSE excluded.last_other_name END,
    last_other_at = coalesce(excluded.last_other_at, p.last_other_at);

-- name: advance_clients
-- $1 sessions, $2 clients, $3 received ranges as text: one place a session and client
INSERT INTO session_clients AS c (session_id, client, received)
SELECT session_id, client, received::int8multirange
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS t (session_id, client, received)
ON CONFLICT (session_id, client) DO UPDATE SET received = c.received + excluded.received;

-- name: advance_pieces
-- One place a piece; `seq` is null of what was refused. A piece that continues the one before it, in the client's numbers
-- and in the session's, only lengthens it.
WITH given AS (
    SELECT session_id, client, first, through, seq, timestamptz 'epoch' + first_us * interval '1 microsecond' AS first_at,
           timestamptz 'epoch' + last_us * interval '1 microsecond' AS last_at
    FROM unnest(:session::bigint[], :client::bigint[], :first::bigint[], :through::bigint[], :seq::bigint[], :first_us::bigint[],
                :last_us::bigint[])
         AS t (session_id, client, first, through, seq, first_us, last_us)
), longer AS (
    UPDATE received_pieces r SET through = g.through, last_at = g.last_at
    FROM (SELECT g.*, b.first AS before
          FROM given g
          CROSS JOIN LATERAL (SELECT b.first FROM received_pieces b
                              WHERE b.session_id = g.session_id AND b.client = g.client AND b.first < g.first
                              ORDER BY b.first DESC LIMIT 1) b) g
    WHERE r.session_id = g.session_id AND r.client = g.client AND r.first = g.before AND r.through = g.first - 1
      AND r.seq + (r.through - r.first + 1) IS NOT DISTINCT FROM g.seq
    RETURNING g.session_id, g.client, g.first
)
INSERT INTO received_pieces (session_id, client, first, through, seq, first_at, last_at)
SELECT session_id, client, first, through, seq, first_at, last_at
FROM given g
WHERE NOT EXISTS (SELECT FROM longer l WHERE (l.session_id, l.client, l.first) = (g.session_id, g.client, g.first))
ON CONFLICT DO NOTHING;

-- name: mark_gaps
-- One place a mark; `grace_s` until they are due.
INSERT INTO gap_marks (session_id, kind, started_at, ended_at, from_seq, through_seq, due_at)
SELECT session_id, kind, timestamptz 'epoch' + from_us * interval '1 microsecond',
       timestamptz 'epoch' + through_us * interval '1 microsecond', from_seq, through_seq,
       now() + :grace_s::float8 * interval '1 second'
FROM unnest(:sessions::bigint[], :kinds::text[], :from_us::bigint[], :through_us::bigint[], :from_seqs::int[],
            :through_seqs::int[])
     AS t (session_id, kind, from_us, through_us, from_seq, through_seq);

-- name: insert_clock_steps
-- $1 sessions, $2 server times us, $3 offsets before us, $4 offsets now us
INSERT INTO clock_steps (session_id, at, old_offset_us, new_offset_us)
SELECT session_id, timestamptz 'epoch' + at_us * interval '1 microsecond', old_us, new_us
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS t (session_id, at_us, old_us, new_us)
ON CONFLICT DO NOTHING;

-- name: insert_dead_letters
INSERT INTO dead_letters (session_id, seq, shard, epoch, counter, occurred_at, sqlstate, reason, event)
SELECT session_id, seq, :shard, :epoch, :counter, occurred_at, sqlstate, reason, event
FROM unnest(:sessions::bigint[], :sequences::int[], :times::timestamptz[], :sqlstates::text[], :reasons::text[], :events::bytea[])
     AS t (session_id, seq, occurred_at, sqlstate, reason, event);

-- name: count_letters
-- $1 session, $2 seconds. How many of its rows were refused lately.
SELECT count(*) FROM dead_letters
WHERE session_id = $1 AND recorded_at > now() - $2::float8 * interval '1 second';

-- name: quarantine_sessions
-- $1 sessions, $2 seconds, $3 sqlstates, $4 reasons
INSERT INTO session_quarantines (session_id, ends_at, sqlstate, reason)
SELECT session_id, now() + $2::float8 * interval '1 second', sqlstate, reason
FROM unnest($1::bigint[], $3::text[], $4::text[]) AS t (session_id, sqlstate, reason);

-- name: finish_sessions
-- $1 sessions, $2 final sequences, from end entries of the stream, $3 seconds without a heartbeat that may be a gap, $4 seconds
-- until one is judged. A silence ends with its session.
WITH finished AS (
    UPDATE proctor_sessions s SET final_seq = t.final_seq
    FROM unnest($1::bigint[], $2::int[]) AS t (session_id, final_seq)
    WHERE s.id = t.session_id AND s.final_seq IS NULL
    RETURNING s.id, s.ended_at, s.started_at
)
INSERT INTO gap_marks (session_id, kind, started_at, ended_at, due_at)
SELECT f.id, 'ended', coalesce(p.last_heartbeat_at, f.started_at), f.ended_at, now() + $4::float8 * interval '1 second'
FROM finished f
LEFT JOIN session_progress p ON p.session_id = f.id
WHERE coalesce(p.last_heartbeat_at, f.started_at) + $3::float8 * interval '1 second' < f.ended_at;

-- name: read_through
-- $1 sessions. For the check that a reconciled stream continues what is stored.
SELECT session_id, through_seq FROM session_progress WHERE session_id = ANY($1::bigint[]);

-- name: read_latest_epoch
-- $1 shard
SELECT epoch, run_id, replication_id, opened_at IS NOT NULL AS is_open
FROM stream_epochs WHERE shard = $1 ORDER BY epoch DESC LIMIT 1;

-- name: allot_epoch
-- $1 shard, $2 epoch, $3 run id, $4 replication id
INSERT INTO stream_epochs (shard, epoch, run_id, replication_id) VALUES ($1, $2, $3, $4);

-- name: start_offset
-- $1 shard, $2 new epoch, $3 epoch that was, $4 counter that was (both 0 at first). No row: somebody else moved it.
INSERT INTO stream_offsets AS o (shard, epoch, counter) VALUES ($1, $2, 0)
ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, counter = 0, stored_at = now()
WHERE o.epoch = $3 AND o.counter = $4
RETURNING epoch;

-- name: open_epoch
-- $1 shard, $2 epoch
UPDATE stream_epochs SET opened_at = now() WHERE shard = $1 AND epoch = $2;

-- name: insert_loss
INSERT INTO stream_losses (shard, epoch, kind, expected_counter, found_counter) VALUES (:shard, :epoch, :kind, :expected, :found);

-- name: list_closing
-- $1 shards in all, $2 owned shards, $3 how many. Ended in PostgreSQL, and the stream has not said so yet.
SELECT id FROM proctor_sessions
WHERE status <> 1 AND final_seq IS NULL AND (id % $1::int) = ANY($2::int[])
ORDER BY id LIMIT $3;

-- name: make_commits_durable
-- Whatever the server's default is: an entry leaves the stream only when its rows are on disk.
SELECT set_config('synchronous_commit', 'on', false);

-- name: limit_silence
-- $1 an interval. A writer that is stopped or cut off gives its locks up by itself, in the middle of a batch too.
SELECT set_config('idle_session_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $1, false);

-- name: hear_session_ends
LISTEN session_ended;

-- name: note_alerts
-- $1 sessions, $2 events by their global ids: one place an event, of this transaction's rows.
INSERT INTO live_changes (exam_id, session_ids, event_ids)
SELECT s.exam_id, array_agg(DISTINCT s.id), array_agg(t.event_id)
FROM unnest($1::bigint[], $2::bigint[]) AS t (session_id, event_id)
JOIN proctor_sessions s ON s.id = t.session_id
GROUP BY s.exam_id;
