-- Silences of proctor sessions: seen by the sweep, ended and filled by what the writer stores, judged here.
-- Nothing reads a session again before something has happened in it.

-- name: list_silent
-- $1 shards in all, $2 owned shards, $3 now, $4 seconds of silence, $5 how many. Active sessions without a heartbeat
-- for that long and without an open gap; the silence starts at the last heartbeat, or at the session's start.
SELECT s.id AS session_id, s.organisation_id, coalesce(p.last_heartbeat_at, s.started_at) AS started_at
FROM proctor_sessions s
LEFT JOIN session_progress p ON p.session_id = s.id
WHERE s.status = 1 AND s.silent_since IS NULL AND (s.id % $1::int) = ANY($2::int[])
  AND coalesce(p.last_heartbeat_at, s.started_at) < $3::timestamptz - $4::float8 * interval '1 second'
ORDER BY s.id LIMIT $5;

-- name: open_gap
-- $1 session, $2 start, $3 whether it lasts
WITH opened AS (
    INSERT INTO heartbeat_gaps (session_id, started_at, revision, state) VALUES ($1, $2, 0, 'open') ON CONFLICT DO NOTHING
)
UPDATE proctor_sessions SET silent_since = $2 WHERE id = $1 AND status = 1 AND $3;

-- name: has_gap
-- $1 session, $2 start
SELECT true FROM heartbeat_gaps WHERE session_id = $1 AND started_at = $2 LIMIT 1;

-- name: list_due
-- $1 shards in all, $2 owned shards, $3 now, $4 how many. Sessions in which a gap is to be judged; `heard_at` is their last
-- heartbeat, or their start.
SELECT DISTINCT m.session_id, s.organisation_id, s.final_seq IS NULL AS lasts, coalesce(p.last_heartbeat_at, s.started_at) AS heard_at
FROM gap_marks m
JOIN proctor_sessions s ON s.id = m.session_id
LEFT JOIN session_progress p ON p.session_id = m.session_id
WHERE m.due_at <= $3::timestamptz AND (m.session_id % $1::int) = ANY($2::int[])
LIMIT $4;

-- name: list_marks
-- $1 session, $2 now
SELECT id, kind, started_at, ended_at, from_seq, through_seq, due_at <= $2::timestamptz AS is_due
FROM gap_marks WHERE session_id = $1 ORDER BY id;

-- name: list_filled
-- $1 session, $2 from, $3 through. Ended gaps between which and the moments something was filled.
SELECT DISTINCT started_at, ended_at
FROM heartbeat_gaps
WHERE session_id = $1 AND revision > 0 AND started_at <= $3 AND ended_at > $2
ORDER BY started_at;

-- name: judge_gap
-- $1 session, $2 start, $3 end, $4 first sequences and $5 last ones of the rows that were filled since, $6 seconds of an
-- interval, $7 share of the whole intervals that makes it `network`. A new revision where something is new; no row else.
WITH before AS (
    SELECT revision, coalesce(covered, '{}') AS covered
    FROM heartbeat_gaps WHERE session_id = $1 AND started_at = $2 ORDER BY revision DESC LIMIT 1
), whole AS (
    SELECT greatest(floor(extract(epoch FROM $3::timestamptz - $2::timestamptz) / $6::int)::int, 1) AS missed
), filled AS (
    SELECT floor(extract(epoch FROM e.effective_at - $2::timestamptz) / $6::int)::int AS place
    FROM unnest($4::int[], $5::int[]) AS r (low, high)
    JOIN events e ON e.session_id = $1 AND e.seq BETWEEN r.low AND r.high
    WHERE e.occurred_at >= $2 AND e.effective_at >= $2 AND e.effective_at < $3 AND e.client_at IS NOT NULL
), fresh AS (
    SELECT coalesce(range_agg(int4range(place, place + 1)), '{}') AS covered FROM filled, whole WHERE place < missed
), judged AS (
    SELECT b.revision, b.covered AS was, b.covered + f.covered AS covered FROM before b, fresh f
)
INSERT INTO heartbeat_gaps (session_id, started_at, revision, state, ended_at, class, missed, covered)
SELECT $1, $2, j.revision + 1, 'closed', $3,
       CASE WHEN (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(j.covered) r) >= $7::float8 * w.missed
            THEN 'network' ELSE 'unexplained' END, w.missed, j.covered
FROM judged j, whole w
WHERE j.revision = 0 OR j.covered <> j.was
RETURNING revision, missed;

-- name: note_judgement
-- $1 session, $2 start, $3 intervals missed, 0 where they are counted already. What is computed from its gaps is stale.
WITH dirty AS (INSERT INTO dirty_sessions (session_id) VALUES ($1))
UPDATE proctor_sessions
SET heartbeat_missed_count = heartbeat_missed_count + $3, silent_since = nullif(silent_since, $2)
WHERE id = $1;

-- name: delete_marks
-- $1 ids
DELETE FROM gap_marks WHERE id = ANY($1::bigint[]);

-- name: park_marks
-- $1 ids: fills of a gap that still lasts
UPDATE gap_marks SET due_at = 'infinity' WHERE id = ANY($1::bigint[]);

-- name: list_notices
-- $1 shards in all, $2 owned shards, $3 how many. What the core API has noted and the stream does not say yet.
SELECT n.session_id, n.event_name, n.minute, n.severity, n.noted_at, s.organisation_id
FROM session_notices n
JOIN proctor_sessions s ON s.id = n.session_id
WHERE n.appended_at IS NULL AND (n.session_id % $1::int) = ANY($2::int[])
ORDER BY n.noted_at LIMIT $3;

-- name: settle_notice
-- $1 session, $2 event name, $3 minute
UPDATE session_notices SET appended_at = now() WHERE session_id = $1 AND event_name = $2 AND minute = $3;
