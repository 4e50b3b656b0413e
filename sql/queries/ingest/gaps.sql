-- Silences of proctor sessions: seen by the sweep, ended and filled by what the writer stores, judged here.
-- Nothing reads a session again before something has happened in it.

-- name: list_silent
-- `owned` shards of `shards` in all, `taken`: until when each was taken for. Active sessions without a heartbeat for
-- `silence_s` since the last outage, and without an open gap; the gap starts at the last heartbeat, or at the session's
-- start. `silent_since`: since then we would have heard of them.
WITH owned AS MATERIALIZED (
    SELECT t.shard, t.taken_at, (SELECT max(o.ended_at) FROM ingest_outages o WHERE o.shard = t.shard) AS outage_ended_at
    FROM unnest(:owned::int[], :taken::timestamptz[]) t (shard, taken_at)
)
SELECT s.id AS session_id, s.organisation_id, coalesce(p.last_heartbeat_at, s.started_at) AS started_at,
       greatest(coalesce(p.last_heartbeat_at, s.started_at), t.outage_ended_at) AS silent_since
FROM proctor_sessions s
JOIN owned t ON t.shard = s.id % :shards::int
LEFT JOIN session_progress p ON p.session_id = s.id
WHERE s.status = 1 AND s.silent_since IS NULL
  AND greatest(coalesce(p.last_heartbeat_at, s.started_at),
               t.outage_ended_at) < t.taken_at - :silence_s::float8 * interval '1 second'
ORDER BY s.id LIMIT :limit;

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
-- `owned` shards of `shards` in all, `taken`: until when each was taken for. Sessions in which a gap is to be judged;
-- `heard_at` is their last heartbeat, or their start. What ended later than the shard was taken for waits: an outage that
-- nobody has told yet may lie in it.
SELECT DISTINCT m.session_id, s.organisation_id, s.final_seq IS NULL AS lasts, coalesce(p.last_heartbeat_at, s.started_at) AS heard_at
FROM gap_marks m
JOIN unnest(:owned::int[], :taken::timestamptz[]) t (shard, taken_at) ON t.shard = m.session_id % :shards::int
JOIN proctor_sessions s ON s.id = m.session_id
LEFT JOIN session_progress p ON p.session_id = m.session_id
WHERE m.due_at <= :now::timestamptz AND m.ended_at <= t.taken_at
LIMIT :limit;

-- name: list_marks
-- $1 session, $2 now, $3 until when its shard was taken for
SELECT id, kind, started_at, ended_at, from_seq, through_seq,
       due_at <= $2::timestamptz AND ended_at <= $3::timestamptz AS is_due
FROM gap_marks WHERE session_id = $1 ORDER BY id;

-- name: list_filled
-- $1 session, $2 from, $3 through. Ended gaps between which and the moments something was filled.
SELECT DISTINCT started_at, ended_at
FROM heartbeat_gaps
WHERE session_id = $1 AND revision > 0 AND started_at <= $3 AND ended_at > $2
ORDER BY started_at;

-- name: judge_gap
-- `lows` and `highs`: first and last sequences of the rows that were filled since; `share_min`: of the whole intervals, what
-- makes it `network`. A new revision where something is new; no row else. Intervals that an outage touches are ours: they
-- are neither missed nor covered.
WITH before AS (
    SELECT revision, coalesce(covered, '{}') AS covered
    FROM heartbeat_gaps WHERE session_id = :session_id AND started_at = :since ORDER BY revision DESC LIMIT 1
), outages AS (
    SELECT unnest(range_agg(tstzrange(greatest(started_at, :since), least(ended_at, :until)))) AS span
    FROM ingest_outages WHERE shard = :shard::int AND ended_at > :since AND started_at < :until
), ours AS (
    SELECT coalesce(range_agg(int4range(floor(extract(epoch FROM lower(span) - :since) / :interval_s::int)::int,
                                        ceil(extract(epoch FROM upper(span) - :since) / :interval_s::int)::int)), '{}') AS places,
           coalesce(sum(extract(epoch FROM upper(span) - lower(span))), 0)::float8 AS outage_s
    FROM outages
), whole AS (
    SELECT int4multirange(int4range(0, greatest(
               floor(extract(epoch FROM :until::timestamptz - :since::timestamptz) / :interval_s::int)::int, 1)))
           - places AS places, outage_s
    FROM ours
), due AS (
    SELECT greatest((SELECT sum(upper(r) - lower(r)) FROM unnest(places) r), 1)::int AS missed, places, outage_s FROM whole
), filled AS (
    SELECT floor(extract(epoch FROM e.effective_at - :since::timestamptz) / :interval_s::int)::int AS place
    FROM unnest(:lows::int[], :highs::int[]) AS r (low, high)
    JOIN events e ON e.session_id = :session_id AND e.seq BETWEEN r.low AND r.high
    WHERE e.occurred_at >= :since AND e.effective_at >= :since AND e.effective_at < :until
      AND e.client_at IS NOT NULL
), fresh AS (
    SELECT coalesce(range_agg(int4range(place, place + 1)), '{}') AS covered FROM filled, due WHERE places @> place
), judged AS (
    SELECT b.revision, b.covered AS was, b.covered + f.covered AS covered FROM before b, fresh f
)
INSERT INTO heartbeat_gaps (session_id, started_at, revision, state, ended_at, class, missed, covered, outage_s)
SELECT :session_id, :since, j.revision + 1, 'closed', :until,
       CASE WHEN (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(j.covered) r) >= :share_min::float8 * d.missed
            THEN 'network' ELSE 'unexplained' END, d.missed, j.covered, d.outage_s
FROM judged j, due d
WHERE j.revision = 0 OR j.covered <> j.was
RETURNING revision, missed;

-- name: note_judgement
-- $1 session, $2 start, $3 intervals missed, 0 where they are counted already. What is computed from its gaps is stale.
WITH dirty AS (INSERT INTO dirty_sessions (session_id, cause) VALUES ($1, 'gap'))
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
SELECT n.session_id, n.event_name, n.minute, n.severity, n.noted_at, n.event_type, n.payload::text AS payload, s.organisation_id
FROM session_notices n
JOIN proctor_sessions s ON s.id = n.session_id
WHERE n.appended_at IS NULL AND (n.session_id % $1::int) = ANY($2::int[])
ORDER BY n.noted_at LIMIT $3;

-- name: settle_notice
-- $1 session, $2 event name, $3 minute
UPDATE session_notices SET appended_at = now() WHERE session_id = $1 AND event_name = $2 AND minute = $3;
