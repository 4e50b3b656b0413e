-- Statements of the fold: which sessions are due, whose turn it is, what arrived since, and where each session is.

-- name: try_share_folds
-- Rebuild takes the lock alone, turns share it: nothing is folded from before a rebuild and stored after it.
SELECT pg_try_advisory_xact_lock_shared(1986359925, 2);

-- name: hold_folds
-- For as long as the connection is open.
SELECT pg_advisory_lock(1986359925, 2);

-- name: limit_idleness
-- $1 an interval. A worker that is stopped in the middle of a turn gives its attempts up by itself.
SELECT set_config('idle_in_transaction_session_timeout', $1, false);

-- name: gather_touched
-- $1 rows at most, of the oldest, $2 seconds that heartbeats may wait: until then they are patient, and become due with anything
-- else that happens. What was touched becomes due, a row a session: one that is due already, or was put aside, only has another
-- generation. Returns how many rows there were. Waits for nobody who folds: a turn deletes its claims last of all.
WITH taken AS (
    DELETE FROM dirty_sessions
    WHERE id = ANY (ARRAY(SELECT id FROM dirty_sessions ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING session_id, marked_at, cause
), claimed AS (
    INSERT INTO reporting.fold_claims AS c (session_id, attempt_id, exam_id, due_at, is_patient)
    SELECT s.id, s.attempt_id, s.exam_id,
           min(t.marked_at + CASE WHEN t.cause = 'heartbeat' THEN $2::float8 ELSE 0 END * interval '1 second'),
           bool_and(t.cause IS NOT DISTINCT FROM 'heartbeat')
    FROM taken t
    JOIN proctor_sessions s ON s.id = t.session_id
    GROUP BY s.id
    ORDER BY s.id
    ON CONFLICT (session_id) DO UPDATE SET
        generation = c.generation + 1, is_patient = c.is_patient AND excluded.is_patient,
        due_at = CASE WHEN c.is_patient THEN least(c.due_at, excluded.due_at) ELSE c.due_at END
)
SELECT count(*) FROM taken;

-- name: gather_woken
-- Sessions that are to be looked at again by time alone. One that is due already is left as it is: the turn that takes it says
-- when to wake it next.
INSERT INTO reporting.fold_claims AS c (session_id, attempt_id, exam_id, due_at)
SELECT s.id, s.attempt_id, s.exam_id, f.wake_at
FROM reporting.session_folds f
JOIN proctor_sessions s ON s.id = f.session_id
WHERE f.wake_at <= now()
  AND NOT EXISTS (SELECT FROM reporting.fold_claims c WHERE c.session_id = f.session_id AND NOT c.is_patient)
ORDER BY s.id
ON CONFLICT (session_id) DO UPDATE SET due_at = least(c.due_at, excluded.due_at), is_patient = false WHERE c.is_patient;

-- name: read_due
-- $1 sessions at most that are counted. How many are due, and since when the oldest is.
SELECT count(*) AS sessions, min(due_at) AS since FROM (SELECT due_at FROM reporting.fold_claims WHERE due_at <= now() LIMIT $1) c;

-- name: claim_attempts
-- $1 attempts at most. The exams take turns, the oldest session of each first; attempts that another turn has are passed over.
-- The lock goes with the transaction. Nothing is read here of what it guards: only the next statement sees what the turn
-- before has stored.
WITH ranked AS (
    SELECT attempt_id, due_at, row_number() OVER (PARTITION BY exam_id ORDER BY due_at, session_id) AS place
    FROM reporting.fold_claims
    WHERE due_at <= now()
), waiting AS MATERIALIZED (
    SELECT attempt_id, min(place) AS place, min(due_at) AS due_at FROM ranked GROUP BY attempt_id ORDER BY 2, 3, 1
)
SELECT attempt_id::text FROM waiting
WHERE pg_try_advisory_xact_lock(1986359926, hashtext(attempt_id::text))
LIMIT $1;

-- name: claim_named
-- $1 attempt ids as text. Likewise, whether they are due or not.
SELECT attempt_id FROM unnest($1::text[]) AS t (attempt_id) WHERE pg_try_advisory_xact_lock(1986359926, hashtext(attempt_id));

-- name: put_aside
-- $1 attempt ids as text, $2 seconds. They cannot be folded: until then they stand in nobody's way.
UPDATE reporting.fold_claims SET due_at = now() + $2::float8 * interval '1 second', is_patient = false WHERE attempt_id = ANY ($1::text[]::uuid[]);

-- name: list_claimed
-- $1 attempt ids as text, in the order of their turn. Their sessions: what is known of them, what is stored, what was folded. An
-- end counts from when the stream has confirmed it (final_seq): from then on it cannot change.
SELECT s.id, s.attempt_id::text, s.exam_id::text, s.candidate_id::text, s.organisation_id::text, s.mode, s.started_at,
       CASE WHEN s.final_seq IS NOT NULL THEN s.ended_at END AS ended_at,
       coalesce(p.through_seq, 0) AS stored_seq, p.first_event_at, p.last_event_at,
       coalesce(f.through_seq, 0) AS folded_seq, f.through_at, f.states, c.generation
FROM unnest($1::text[]::uuid[]) WITH ORDINALITY AS t (attempt_id, place)
JOIN proctor_sessions s ON s.attempt_id = t.attempt_id
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN reporting.session_folds f ON f.session_id = s.id
LEFT JOIN reporting.fold_claims c ON c.session_id = s.id
ORDER BY t.place, s.id;

-- name: read_slices
-- One place a session: the sequences beyond `after` through `through`, none of them older than `since` or younger than `until`;
-- `first` and `last` bound all of them, so that the planner leaves out the other days' chunks. A row a session that has any,
-- its events packed as pipeline/fold.py unpacks them, in no order.
SELECT t.session_id, e.packed
FROM unnest(:sessions::bigint[], :after::int[], :through::int[], :since::timestamptz[], :until::timestamptz[])
     AS t (session_id, after_seq, through_seq, since, until)
CROSS JOIN LATERAL (
    SELECT string_agg(int4send(seq) || timestamptz_send(occurred_at) || timestamptz_send(coalesce(effective_at, occurred_at))
                      || timestamptz_send(coalesce(client_at, '-infinity')) || int2send(event_type) || int2send(severity)
                      || boolsend(is_violation) || boolsend(is_late) || boolsend(effective_at IS NOT NULL), ''::bytea) AS packed
    FROM events
    WHERE session_id = t.session_id AND seq > t.after_seq AND seq <= t.through_seq
      AND occurred_at >= t.since AND occurred_at <= t.until
      AND occurred_at >= :first::timestamptz AND occurred_at <= :last::timestamptz
) e
WHERE e.packed IS NOT NULL;

-- name: put_folds
-- One place a session. Position, states and when to wake it, for the transaction that stores what they mean.
INSERT INTO reporting.session_folds AS f (session_id, through_seq, through_at, states, wake_at)
SELECT session_id, through_seq, through_at, states, wake_at
FROM unnest(:sessions::bigint[], :through::int[], :at::timestamptz[], :states::bytea[], :wake_at::timestamptz[])
     AS t (session_id, through_seq, through_at, states, wake_at)
ORDER BY session_id
ON CONFLICT (session_id) DO UPDATE SET
    through_seq = excluded.through_seq, through_at = excluded.through_at, states = excluded.states, wake_at = excluded.wake_at;

-- name: release_claims
-- $1 sessions, $2 generations that were read, $3 whether all that was stored then is folded. Last in the transaction, and waits
-- for nobody: what was touched meanwhile, or is just being, stays due. What is folded in part goes behind the others.
WITH own AS (
    SELECT c.session_id, t.is_whole
    FROM unnest($1::bigint[], $2::int[], $3::bool[]) AS t (session_id, generation, is_whole)
    JOIN reporting.fold_claims c ON c.session_id = t.session_id AND c.generation = t.generation
    FOR UPDATE OF c SKIP LOCKED
), moved AS (
    UPDATE reporting.fold_claims c SET due_at = clock_timestamp() FROM own WHERE c.session_id = own.session_id AND NOT own.is_whole
)
DELETE FROM reporting.fold_claims c USING own WHERE c.session_id = own.session_id AND own.is_whole;

-- name: list_archived_sessions
-- Every session that has events, with how far the archive has them; for a rebuild.
SELECT s.id, s.attempt_id::text, s.exam_id::text, s.candidate_id::text, s.organisation_id::text, s.mode, s.started_at,
       CASE WHEN s.final_seq IS NOT NULL THEN s.ended_at END AS ended_at, coalesce(a.through_seq, 0) AS through_seq, a.through_at
FROM proctor_sessions s
LEFT JOIN reporting.archived_sessions a ON a.session_id = s.id
ORDER BY s.attempt_id, s.id;

-- name: delete_all_folds
DELETE FROM reporting.session_folds;
