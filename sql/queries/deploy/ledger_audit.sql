-- Statements of the ledger's verifier and export. They run in one read-only snapshot.

-- name: look_at_tables
-- Names mean the tables of the migrations, whatever the database or a role sets for its sessions; values are written in one way.
SELECT set_config('search_path', 'public, pg_temp', true), set_config('timezone', 'UTC', true),
       set_config('extra_float_digits', '1', true);

-- name: read_size
SELECT coalesce(max(position) + 1, 0)::bigint AS size FROM ledger_leaves;

-- name: stream_leaves
-- In order of position, with the event's columns (null where it is not there).
SELECT l.position, l.event_id, l.leaf_hash, e.body, e.organisation_id, e.occurred_at, e.kind, e.aggregate_type,
       e.aggregate_id, e.actor_id, e.actor_role, e.subject_id
FROM ledger_leaves l
LEFT JOIN ledger_events e ON e.id = l.event_id
ORDER BY l.position;

-- name: stream_leaf_tiles
SELECT index, hashes FROM ledger_tiles WHERE level = 0 ORDER BY index;

-- name: list_upper_tiles
SELECT level, index, hashes FROM ledger_tiles WHERE level > 0 ORDER BY level, index;

-- name: stream_heads
SELECT size, note FROM ledger_heads ORDER BY size;

-- name: list_unqueued
-- Events that have no position and wait for none, oldest first.
SELECT e.id FROM ledger_events e
WHERE NOT EXISTS (SELECT FROM ledger_leaves l WHERE l.event_id = e.id)
  AND NOT EXISTS (SELECT FROM ledger_pending p WHERE p.event_id = e.id)
ORDER BY e.id
LIMIT 10;

-- name: list_misqueued
-- Queued, and not there, or sealed already.
SELECT p.event_id FROM ledger_pending p
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.id = p.event_id)
   OR EXISTS (SELECT FROM ledger_leaves l WHERE l.event_id = p.event_id)
ORDER BY p.event_id
LIMIT 10;

-- name: count_waiting
-- $1 seconds. Events that have waited longer for their position.
SELECT count(*), min(e.occurred_at)
FROM ledger_pending p
JOIN ledger_events e ON e.id = p.event_id
WHERE e.occurred_at < now() - make_interval(secs => $1::float8);

-- name: stream_salts
-- The number in front of a commitment to a record is no hash.
SELECT s.event_id, s.name, s.salt, s.value, e.body
FROM ledger_salts s
LEFT JOIN ledger_events e ON e.id = s.event_id
ORDER BY s.event_id, s.name;

-- name: stream_bodies
SELECT l.position, e.body
FROM ledger_leaves l
JOIN ledger_events e ON e.id = l.event_id
ORDER BY l.position;

-- name: stream_records
-- $1 kinds of events text[], $2 the commitment to a record that each of them makes text[], pairwise, $3 those whose record the
-- subject names too text[], $4 those whose aggregate's id is a number text[]
-- The newest commitment to each record, with the rows that are there hashed in the same way; null where no rows can be looked
-- for, as the event's columns were tampered with. What an event of another kind commits to says nothing. `committed` is null
-- where no event about the record commits to it; `later` is the newest event that does not, where it is newer than the one
-- that does. With what an event calls erased, all its records are: a submission's result too.
SELECT newest.committed, newest.event_id, newest.name, newest.aggregate_id, newest.keyed_by, s.value AS recorded,
       CASE WHEN newest.aggregate_id ~ CASE
                WHEN newest.name = ANY ($4::text[]) THEN '^[0-9]{1,18}$' ELSE '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' END
            THEN record_hashes(substring(newest.name FROM 8), newest.aggregate_id, newest.keyed_by, coalesce(s.salt, '')) END AS found,
       EXISTS (SELECT FROM ledger_events x WHERE x.aggregate_id = newest.aggregate_id
                                             AND x.kind = newest.aggregate_type || '.erased') AS is_erased,
       CASE WHEN newest.uncommitted > newest.event_id::text COLLATE "C" THEN newest.uncommitted END AS later
FROM (
    SELECT DISTINCT ON (r.name, e.aggregate_id, k.keyed_by)
           e.id AS event_id, r.name, e.aggregate_type, e.aggregate_id, k.keyed_by, c.committed,
           max(CASE WHEN c.committed IS NULL THEN e.id::text COLLATE "C" END)
               OVER (PARTITION BY r.name, e.aggregate_id, k.keyed_by) AS uncommitted
    FROM ledger_events e
    JOIN unnest($1::text[], $2::text[]) AS r (kind, name) ON r.kind = e.kind
    CROSS JOIN LATERAL (SELECT commitments_in(e.body) ->> r.name AS committed) c
    CROSS JOIN LATERAL (SELECT CASE WHEN r.name = ANY ($3::text[]) THEN e.subject_id END AS keyed_by) k
    ORDER BY r.name, e.aggregate_id, k.keyed_by, c.committed DESC NULLS LAST
) newest
LEFT JOIN ledger_salts s ON s.event_id = newest.event_id AND s.name = newest.name;

-- name: list_misnumbered
-- What orders the commitments to records: each number is drawn once, and the sequence stands behind them all.
WITH drawn AS MATERIALIZED (
    SELECT left(c.value, 16) COLLATE "C" AS number
    FROM ledger_events e CROSS JOIN LATERAL jsonb_each_text(commitments_in(e.body)) c
    WHERE c.key LIKE 'record:%'
)
(SELECT 'commitment number ' || number || ' was drawn ' || count(*) || ' times' AS name
 FROM drawn GROUP BY number HAVING count(*) > 1 ORDER BY number LIMIT 10)
UNION ALL
SELECT 'the sequence of commitment numbers was set back or changed'
FROM ledger_record_numbers s, pg_sequence q
WHERE q.seqrelid = 'ledger_record_numbers'::regclass
  AND (q.seqincrement <> 1 OR q.seqcycle OR (SELECT max(number) FROM drawn) > lpad(to_hex(s.last_value), 16, '0'));

-- name: list_unrecorded
-- What only a use case writes, and no event speaks of.
(SELECT 'submission ' || s.id AS name FROM submissions s
 WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.id = s.event_id AND e.aggregate_id = s.id::text) ORDER BY s.id LIMIT 10)
UNION ALL
(SELECT 'override of ' || o.user_id || ' to assignment ' || o.assignment_id FROM assignment_overrides o
 WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = o.assignment_id::text AND e.kind = 'assignment_override.set')
 LIMIT 10)
UNION ALL
(SELECT 'revocation of assignment ' || a.id FROM assignments a
 WHERE a.revoked_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = a.id::text AND e.kind = 'assignment.revoked')
 LIMIT 10)
UNION ALL
(SELECT 'publication of evaluation version ' || v.id FROM evaluation_versions v
 WHERE v.status = 'published'
   AND NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = v.id::text AND e.kind = 'evaluation.published')
 LIMIT 10);

-- name: count_unspoken
-- What migration, seeding and replay may write as well as a use case, and no event says who made it.
SELECT 'users' AS relation, count(*) AS count, min(u.id::text) AS first FROM users u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind LIKE 'user.%') HAVING count(*) > 0
UNION ALL
SELECT 'exams' AS relation, count(*) AS count, min(u.id::text) AS first FROM exams u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind = 'exam.created') HAVING count(*) > 0
UNION ALL
SELECT 'teacher_exam_permissions' AS relation, count(*) AS count, min(u.teacher_id::text) AS first FROM teacher_exam_permissions u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.exam_id::text AND e.subject_id = u.teacher_id AND e.kind = 'permission.granted') HAVING count(*) > 0
UNION ALL
SELECT 'groups' AS relation, count(*) AS count, min(u.id::text) AS first FROM groups u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind = 'group.created') HAVING count(*) > 0
UNION ALL
SELECT 'group_members' AS relation, count(*) AS count, min(u.user_id::text) AS first FROM group_members u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.group_id::text AND e.subject_id = u.user_id AND e.kind = 'group.member_added') HAVING count(*) > 0
UNION ALL
SELECT 'questions' AS relation, count(*) AS count, min(u.id::text) AS first FROM questions u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind = 'question.saved') HAVING count(*) > 0
UNION ALL
SELECT 'passages' AS relation, count(*) AS count, min(u.id::text) AS first FROM passages u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind = 'passage.saved') HAVING count(*) > 0
UNION ALL
SELECT 'evaluation_versions' AS relation, count(*) AS count, min(u.id::text) AS first FROM evaluation_versions u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind LIKE 'evaluation.%') HAVING count(*) > 0
UNION ALL
SELECT 'assignments' AS relation, count(*) AS count, min(u.id::text) AS first FROM assignments u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.exam_id::text AND e.kind = 'assignment.created') HAVING count(*) > 0
UNION ALL
SELECT 'exam_attempts' AS relation, count(*) AS count, min(u.id::text) AS first FROM exam_attempts u
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.aggregate_id = u.id::text AND e.kind = 'attempt.started') HAVING count(*) > 0;

-- name: list_triggers
-- Every trigger but extensions': table, name, how it fires (O: where nothing is replicated, A: always, D: never), its definition.
SELECT t.tgrelid::regclass::text AS relation, t.tgname::text AS name, t.tgenabled::text AS enabled, pg_get_triggerdef(t.oid) AS definition
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = t.tgfoid AND d.deptype = 'e');

-- name: list_tables
-- What may stand where a table belongs, of which kind it is, and the rules on it.
SELECT c.oid::regclass::text AS relation, c.relkind::text AS kind,
       ARRAY(SELECT r.rulename::text FROM pg_rewrite r WHERE r.ev_class = c.oid ORDER BY 1) AS rules
FROM pg_class c
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace);

-- name: list_functions
-- By name and the types of what goes in.
SELECT p.proname || '(' || array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)
                                                 ORDER BY n), ', ') || ')' AS name,
       p.prosrc AS source, l.lanname::text AS language, p.prosecdef AS is_definers,
       coalesce(p.proconfig, '{}') AS settings,
       p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE') AS lent_to_all
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'public'::regnamespace;

-- name: list_privileges
-- What somebody other than the owner may do to a table beside reading and adding.
SELECT c.oid::regclass::text AS relation, a.privilege_type::text AS privilege,
       CASE a.grantee WHEN 0 THEN 'everybody' ELSE a.grantee::regrole::text END AS grantee
FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
  AND a.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER');
