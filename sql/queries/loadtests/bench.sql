-- What the benchmarks need of PostgreSQL: plain rows to post events for, the COPY baseline, and counting back.

-- name: empty_events
TRUNCATE events;

-- name: copy_file
-- The server reads the file from its own data folder; only a superuser may.
COPY events (session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity, is_violation,
    is_late, event_name, payload)
FROM 'copy_baseline.bin' (FORMAT binary);

-- name: checkpoint
CHECKPOINT;

-- name: data_folder
SELECT current_setting('data_directory');

-- name: server_versions
-- PostgreSQL's and TimescaleDB's.
SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');

-- name: create_copy_database
-- The COPY baseline fills the product's own tables, in a second database that is migrated like the first.
CREATE DATABASE copy_baseline;

-- name: drop_copy_database
DROP DATABASE copy_baseline WITH (FORCE);

-- name: create_seed_database
-- The naive design's tables have the names of ours: they get a database of their own on the same server.
CREATE DATABASE seed_design;

-- name: received_total
-- Events of clients that the writer has committed, without a scan of the events; what the sweeps add is not counted.
SELECT coalesce(sum(upper(piece) - lower(piece)), 0)::bigint FROM session_clients, unnest(received) AS piece;

-- name: count_by_session
-- Of every session: rows that clients sent, different ones of them, all rows, the highest sequence. The first two are
-- equal when nothing is doubled, the last two when there is no hole.
SELECT session_id, count(*) FILTER (WHERE client IS NOT NULL), count(DISTINCT (client, client_seq)) FILTER (WHERE client IS NOT NULL),
       count(*), max(seq)
FROM events GROUP BY session_id;

-- name: find_events
-- $1 session ids bigint[], $2 sequences integer[]. Which of these events can be queried.
SELECT events.session_id, events.seq
FROM unnest($1::bigint[], $2::integer[]) AS wanted (session_id, seq)
JOIN events ON events.session_id = wanted.session_id AND events.seq = wanted.seq;

-- name: create_simple_database
-- The simple durable design fills the product's own tables, in a database that is migrated like the first.
CREATE DATABASE simple_durable;

-- name: drop_simple_database
DROP DATABASE simple_durable WITH (FORCE);

-- name: reset_progress
-- $1 session ids bigint[]. The rows that sequence numbers are taken from.
INSERT INTO session_progress (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at)
SELECT session_id, 0, 0, 0, now(), now() FROM unnest($1::bigint[]) AS given (session_id)
ON CONFLICT (session_id) DO UPDATE SET through_seq = 0;

-- name: store_bulk
-- The whole of the simple durable design: sequence numbers from the session's row, and the rows, in one statement.
WITH session AS (
    UPDATE session_progress SET through_seq = through_seq + cardinality(:types::smallint[])
    WHERE session_id = :session_id
    RETURNING through_seq - cardinality(:types::smallint[]) AS before
), stored AS (
    INSERT INTO events (session_id, seq, occurred_at, client_at, client, client_seq, event_type, severity, is_violation, is_late, payload)
    SELECT :session_id, session.before + e.number, now(), e.client_at, :client, :first + e.number - 1, e.event_type, e.severity,
           e.is_violation, false,
           e.payload::jsonb
    FROM session, unnest(:times::timestamptz[], :types::smallint[], :severities::smallint[], :violations::boolean[],
                         :payloads::text[])
         WITH ORDINALITY AS e (client_at, event_type, severity, is_violation, payload, number)
)
SELECT before FROM session;

-- name: count_stored
-- Rows, different ones, and what the sessions' rows have given out: equal when nothing is lost, doubled or without a number.
SELECT count(*), count(DISTINCT (session_id, seq)), (SELECT sum(through_seq) FROM session_progress)::bigint FROM events;

-- name: list_scored
-- $1 session ids. Up to which sequence each is scored, as whoever asks sees it.
SELECT session_id, through_seq FROM reporting.session_folds WHERE session_id = ANY ($1::bigint[]);

-- name: list_scoring_ms
-- $1 session ids, $2 sequences, $3 when they were seen to be scored, seconds since 1970; ascending within a session. Of each event
-- from its acceptance to when it was seen, milliseconds.
WITH seen AS (
    SELECT session_id, through_seq, seen_at, lag(through_seq, 1, 0) OVER (PARTITION BY session_id ORDER BY through_seq) AS after_seq
    FROM unnest($1::bigint[], $2::int[], $3::float8[]) AS t (session_id, through_seq, seen_at)
)
SELECT ((s.seen_at - extract(epoch FROM e.occurred_at)) * 1000)::float8 AS took_ms
FROM seen s
JOIN events e ON e.session_id = s.session_id AND e.seq > s.after_seq AND e.seq <= s.through_seq;

-- name: count_unscored
-- Sessions with events that no turn of the fold has taken in.
SELECT count(*) FROM session_progress p
LEFT JOIN reporting.session_folds f USING (session_id)
WHERE p.through_seq > coalesce(f.through_seq, 0);

-- name: count_scored
-- Events stored, and those that the attempts' rows count; both at once.
SELECT (SELECT count(*) FROM events) AS stored, (SELECT coalesce(sum(events), 0)::bigint FROM reporting.attempt_activity) AS counted;
