-- Statements of the projections' queue: what has changed, whose turn it is.

-- name: mark_keys
-- One place a mark: its key, the attempt that has changed, whose turn it is in, and by commas what of it is another.
INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
SELECT :layer, key, attempt_id, lane, string_to_array(frames, ',')
FROM unnest(:keys::text[]::uuid[], :attempts::text[]::uuid[], :lanes::text[]::uuid[], :frames::text[])
     AS t (key, attempt_id, lane, frames);

-- name: mark_attempts
-- $1 attempt ids as text, $2 what of them is another, or null for all that was seen of them; of those that are over it counts.
INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
SELECT 'attempt', id, id, exam_id, $2::text[] FROM exam_attempts WHERE id = ANY ($1::text[]::uuid[]) AND status <> 'in_progress';

-- name: claim_keys
-- $1 layer, $2 keys at most, $3 least seconds between two turns of an exam that runs, $4 of one that does not. The lanes take
-- turns, the oldest key of each first; keys that another turn has are passed over, and those that were put aside or have just
-- had a turn wait. The lock goes with the transaction. Nothing is read here of what it guards: only the next statement sees what
-- the turn before has stored.
WITH marked AS (
    SELECT key, min(lane::text) AS lane, min(id) AS oldest FROM reporting.projection_marks WHERE layer = $1 GROUP BY key
), ranked AS (
    SELECT m.key, m.oldest, row_number() OVER (PARTITION BY m.lane ORDER BY m.oldest) AS place
    FROM marked m
    LEFT JOIN reporting.projection_turns t ON t.layer = $1 AND t.key = m.key
    WHERE (t.retry_at IS NULL OR t.retry_at <= now())
      AND (t.turned_at IS NULL OR t.turned_at + interval '1 second'
           * CASE WHEN EXISTS (SELECT FROM exam_attempts a WHERE a.exam_id = m.key AND a.status = 'in_progress')
                  THEN $3::float8 ELSE $4::float8 END <= now())
), waiting AS MATERIALIZED (
    SELECT key FROM ranked ORDER BY place, oldest
)
SELECT key::text FROM waiting WHERE pg_try_advisory_xact_lock(1986359930, hashtext($1 || key::text)) LIMIT $2;

-- name: claim_named_keys
-- $1 layer, $2 keys as text. Likewise, whether anything of them has changed or not; waits for whoever has one.
SELECT pg_advisory_xact_lock(1986359930, place)
FROM (SELECT DISTINCT hashtext($1 || key) AS place FROM unnest($2::text[]) k (key) ORDER BY 1) t;

-- name: list_key_marks
-- $1 layer, $2 keys as text
SELECT id, key::text, attempt_id::text, frames FROM reporting.projection_marks WHERE layer = $1 AND key = ANY ($2::text[]::uuid[]);

-- name: delete_key_marks
-- $1 ids that were read
DELETE FROM reporting.projection_marks WHERE id = ANY ($1::bigint[]);

-- name: note_turns
-- $1 layer, $2 keys as text, $3 whether the next turn is to keep its distance
WITH past AS (
    DELETE FROM reporting.projection_turns WHERE layer = $1 AND key = ANY ($2::text[]::uuid[]) AND NOT $3
)
INSERT INTO reporting.projection_turns (layer, key, turned_at)
SELECT $1, key, clock_timestamp() FROM unnest($2::text[]::uuid[]) t (key) WHERE $3
ON CONFLICT (layer, key) DO UPDATE SET turned_at = excluded.turned_at, retry_at = NULL;

-- name: put_key_aside
-- $1 layer, $2 key as text, $3 seconds. It cannot be computed: until then it stands in nobody's way.
INSERT INTO reporting.projection_turns (layer, key, retry_at) VALUES ($1, $2::text::uuid, now() + $3::float8 * interval '1 second')
ON CONFLICT (layer, key) DO UPDATE SET retry_at = excluded.retry_at;

-- name: list_due_layers
-- $1 least seconds between two turns of an exam that runs, $2 of one that does not. How many keys of each layer have their turn.
SELECT m.layer, count(DISTINCT m.key) AS keys, min(m.marked_at) AS since
FROM reporting.projection_marks m
LEFT JOIN reporting.projection_turns t ON t.layer = m.layer AND t.key = m.key
WHERE (t.retry_at IS NULL OR t.retry_at <= now())
  AND (t.turned_at IS NULL OR t.turned_at + interval '1 second'
       * CASE WHEN EXISTS (SELECT FROM exam_attempts a WHERE a.exam_id = m.key AND a.status = 'in_progress')
              THEN $1::float8 ELSE $2::float8 END <= now())
GROUP BY m.layer;

-- name: list_layer_keys
-- $1 layer, $2 moment or null, $3 whether only keys that are marked. Keys of attempts that were over at that moment or later, and of
-- how many; of all, and of what was projected of any that is no more, where none is given.
SELECT key::text, sum(attempts)::bigint AS attempts
FROM (
    SELECT CASE $1::text WHEN 'attempt' THEN id WHEN 'exam' THEN exam_id ELSE student_id END AS key, count(*) AS attempts
    FROM exam_attempts
    WHERE status <> 'in_progress' AND ($2::timestamptz IS NULL OR completed_at >= $2)
    GROUP BY 1
    UNION ALL
    SELECT DISTINCT CASE $1::text WHEN 'attempt' THEN attempt_id WHEN 'exam' THEN exam_id ELSE student_id END, 0
    FROM reporting.submissions
    WHERE $2::timestamptz IS NULL
) k
WHERE NOT $3::boolean OR EXISTS (SELECT FROM reporting.projection_marks m WHERE m.layer = $1 AND m.key = k.key)
GROUP BY key
ORDER BY key;

-- name: describe_columns
-- $1 dataset. Name and type of each column of its table in reporting, and its place in the primary key.
SELECT a.attname, format_type(a.atttypid, NULL) AS type, array_position(i.indkey::smallint[], a.attnum) AS place
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = 'reporting'::regnamespace AND c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;
