-- What test_work_in_proportion.py lays into its database. Parameters are psycopg's, bound by the client.

-- name: begin
-- A small school: one exam of one teacher, a few candidates whose sessions run. Its ids are the lowest, so that a list which
-- goes newest first through everybody's rows comes to them last.
INSERT INTO organisations (id, name) VALUES (%(school)s, 'New'), (%(old)s, 'Old') ON CONFLICT DO NOTHING;
INSERT INTO users (id, organisation_id, email, username, role, full_name)
SELECT id, %(school)s, id || '@new.example', id::text, role, 'New Person'
FROM (VALUES (%(teacher)s::uuid, 'teacher'), (%(admin)s::uuid, 'admin')) people (id, role)
UNION ALL
SELECT id, %(school)s, id || '@new.example', id::text, 'student', 'New Pupil' FROM unnest(%(students)s::uuid[]) id;
INSERT INTO exams (id, organisation_id, creator_id, title, duration_minutes, is_published, published_at)
VALUES (%(exam)s, %(school)s, %(teacher)s, 'New', 90, true, now());
INSERT INTO groups (id, organisation_id, name) VALUES (%(group)s, %(school)s, 'new');
INSERT INTO group_members (group_id, user_id) SELECT %(group)s, unnest(%(students)s::uuid[]);
INSERT INTO exam_attempts (id, exam_id, student_id, started_at, expires_at)
SELECT attempt, %(exam)s, student, %(now)s, %(now)s + interval '1 hour'
FROM unnest(%(attempts)s::uuid[], %(students)s::uuid[]) a (attempt, student);
INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
SELECT id, exam_id, student_id, %(school)s, 1, started_at FROM exam_attempts ORDER BY id;
INSERT INTO session_progress (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at)
SELECT id, 100, 100, 0, started_at, started_at + interval '100 s' FROM proctor_sessions;
INSERT INTO events (session_id, seq, occurred_at, event_type, severity, is_violation, is_late)
SELECT id, n, started_at + n * interval '1 s', 1, 0, false, false
FROM proctor_sessions CROSS JOIN generate_series(1, 100) n;
INSERT INTO submissions (id, organisation_id, exam_id, attempt_id, author_id, kind, submitted_by, version_snapshot, content, content_sha256, event_id,
                         finalised_at)
SELECT id, %(school)s, exam_id, id, student_id, 'attempt', 'candidate', '{}', '', sha256(''), gen_random_uuid(), %(now)s FROM exam_attempts;
INSERT INTO programmes (id, organisation_id, creator_id, title, created_at)
VALUES (%(exam)s, %(school)s, %(teacher)s, 'New', %(now)s);
INSERT INTO programme_versions (programme_id, version, state, drafted_at) VALUES (%(exam)s, 1, 'draft', %(now)s);
INSERT INTO programme_requirements (programme_id, version, number, key, exam_ids, asked)
VALUES (%(exam)s, 1, 1, 'new', ARRAY[%(exam)s::uuid], '{"key": "new", "kind": "exam"}');
UPDATE programme_versions SET state = 'published', published_at = %(now)s;
INSERT INTO programme_enrolments (id, programme_id, version, user_id, organisation_id, state, enrolled_by, enrolled_at, state_at, due_at)
SELECT user_id, %(exam)s, 1, user_id, %(school)s, 'active', %(teacher)s, %(now)s, %(now)s, %(now)s
FROM unnest(%(students)s::uuid[]) user_id;

-- name: fill
-- Everything that is over, n from low + 1 to high: people, an exam for every ten of them, attempts that have ended, sessions
-- that were archived, their events and gaps, sign-ins, the ledger; keys, remembered still.
INSERT INTO users (id, organisation_id, email, username, role, full_name)
SELECT ('10000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, %(org)s, n || '@old.example', 'old' || n,
       CASE WHEN n %% 10 = 0 THEN 'teacher' ELSE 'student' END, 'Pupil ' || n
FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO exams (id, organisation_id, creator_id, title, duration_minutes, is_published, published_at)
SELECT ('10000000-0000-7001-8000-' || lpad(to_hex(n), 12, '0'))::uuid, %(org)s,
       ('10000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Old', 90, true, now()
FROM generate_series(%(low)s + 10, %(high)s, 10) n;
INSERT INTO groups (id, organisation_id, name)
SELECT ('10000000-0000-7002-8000-' || lpad(to_hex(n), 12, '0'))::uuid, %(org)s, 'old' || n
FROM generate_series(%(low)s + 10, %(high)s, 10) n;
INSERT INTO exam_attempts (id, exam_id, student_id, status, started_at, expires_at, completed_at)
SELECT ('10000000-0000-7003-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       ('10000000-0000-7001-8000-' || lpad(to_hex((n + 9) / 10 * 10), 12, '0'))::uuid,
       ('10000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'completed', %(at)s, %(at)s + interval '1 hour', %(at)s
FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, status, started_at, ended_at, final_seq)
SELECT id, exam_id, student_id, %(org)s, 1, 2, started_at, expires_at, 20 FROM exam_attempts
WHERE id > ('10000000-0000-7003-8000-' || lpad(to_hex(%(low)s), 12, '0'))::uuid
  AND id <= ('10000000-0000-7003-8000-' || lpad(to_hex(%(high)s), 12, '0'))::uuid
ORDER BY id;
INSERT INTO session_progress (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at, last_heartbeat_at)
SELECT id, 20, 20, 0, started_at, started_at + interval '20 s', started_at FROM proctor_sessions s
WHERE NOT EXISTS (SELECT FROM session_progress p WHERE p.session_id = s.id) AND status = 2;
INSERT INTO reporting.archived_sessions (session_id, through_seq, through_at)
SELECT session_id, through_seq, last_event_at FROM session_progress ON CONFLICT DO NOTHING;
INSERT INTO events (session_id, seq, occurred_at, event_type, severity, is_violation, is_late)
SELECT p.session_id, n, p.first_event_at + n * interval '1 s', 1, 0, false, false
FROM session_progress p CROSS JOIN generate_series(1, 20) n
WHERE NOT EXISTS (SELECT FROM events e WHERE e.session_id = p.session_id);
INSERT INTO heartbeat_gaps (session_id, started_at, revision, state)
SELECT session_id, first_event_at, 0, 'open' FROM session_progress ON CONFLICT DO NOTHING;
INSERT INTO heartbeat_gaps (session_id, started_at, revision, state, ended_at, class, missed, covered)
SELECT session_id, first_event_at, 1, 'closed', last_event_at, 'network', 1, '{}' FROM session_progress ON CONFLICT DO NOTHING;
INSERT INTO gap_marks (session_id, kind, started_at, ended_at, from_seq, through_seq, due_at)
SELECT session_id, 'filled', first_event_at, last_event_at, 1, 1, 'infinity' FROM session_progress p
WHERE NOT EXISTS (SELECT FROM gap_marks m WHERE m.session_id = p.session_id);
INSERT INTO evidence (session_id, exam_id, organisation_id, uploader_id, type, status, is_chunked, file_name, content_type, chunk_count,
                      size_bytes, sha256, requested_at, closed_at, expires_at)
SELECT id, exam_id, organisation_id, candidate_id, 1, 2, false, 'old.jpg', 'image/jpeg', 1, 1, sha256(''), started_at, started_at,
       'infinity'
FROM proctor_sessions s WHERE status = 2 AND NOT EXISTS (SELECT FROM evidence e WHERE e.session_id = s.id);
INSERT INTO risk_adjustments (attempt_id, rule_id, percent, reason, created_by, created_at)
SELECT a.id, r.id, percent, 'agreed', a.student_id, a.started_at
FROM exam_attempts a CROSS JOIN (SELECT min(id) AS id FROM risk_rules) r CROSS JOIN (VALUES (50), (0)) AS p (percent)
WHERE NOT EXISTS (SELECT FROM risk_adjustments x WHERE x.attempt_id = a.id);
INSERT INTO ingest_outages (shard, started_at, ended_at)
SELECT n %% 4, %(at)s + n * interval '1 min', %(at)s + n * interval '1 min' + interval '20 s'
FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO reporting.attempt_activity (attempt_id, exam_id, student_id, session_ids, events, violations, by_type, by_severity,
                                        first_event_at, last_event_at, late_events, metric_version, coverage, reasons, as_of)
SELECT s.attempt_id, s.exam_id, s.candidate_id, ARRAY[s.id], 20, 0, '{"Heartbeat": 20}', '{"0": 20}', s.started_at, s.started_at, 0,
       'activity-1', 1, '[]', s.started_at
FROM proctor_sessions s WHERE status = 2 ON CONFLICT DO NOTHING;
INSERT INTO reporting.session_folds (session_id, through_seq, through_at, states, wake_at)
SELECT session_id, through_seq, last_event_at, '', CASE WHEN session_id %% 2 = 0 THEN %(now)s + interval '1 year' END
FROM session_progress ON CONFLICT DO NOTHING;
INSERT INTO reporting.archive_batches (id, kind, confirmed_at) SELECT n, 'append', now() FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
SELECT (encode(substring(int8send(floor(extract(epoch FROM %(at)s + n * interval '1 s') * 1000)::bigint) FROM 3), 'hex')
        || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid,
       %(org)s, date_trunc('milliseconds', %(at)s + n * interval '1 s'), 'user.changed', 'user', n::text,
       ('10000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'teacher', NULL, '{}'
FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO ledger_leaves (position, event_id, leaf_hash)
SELECT (SELECT count(*) FROM ledger_leaves) + row_number() OVER (ORDER BY event_id) - 1, event_id, sha256('')
FROM ledger_pending;
DELETE FROM ledger_pending;
INSERT INTO ledger_heads (size, note) SELECT n, 'note' FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO logins (id, user_id, created_at, expires_at)
SELECT id, id, %(at)s, %(at)s FROM users WHERE organisation_id = %(org)s ON CONFLICT DO NOTHING;
INSERT INTO revocations (user_id, mark, revoked_at, expires_at)
SELECT id, 'x' || id, %(at)s, %(now)s + interval '1 year' FROM users WHERE organisation_id = %(org)s ON CONFLICT DO NOTHING;
INSERT INTO idempotency_keys (user_id, key, request, claimed_at)
SELECT id, 'old', sha256(''), %(now)s FROM users WHERE organisation_id = %(org)s ON CONFLICT DO NOTHING;
INSERT INTO organisations (id, name)
SELECT ('10000000-0000-7004-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Old ' || n FROM generate_series(%(low)s + 1, %(high)s) n;
INSERT INTO allowed_origins (organisation_id, origins, changed_at)
SELECT id, ARRAY['https://' || id || '.example'], %(at)s FROM organisations WHERE name LIKE 'Old %%' ON CONFLICT DO NOTHING;
INSERT INTO programmes (id, organisation_id, creator_id, title, created_at)
SELECT id, %(org)s, creator_id, 'Old', %(at)s FROM exams WHERE title = 'Old' ON CONFLICT DO NOTHING;
INSERT INTO programme_versions (programme_id, version, state, drafted_at)
SELECT id, 1, 'draft', created_at FROM programmes ON CONFLICT DO NOTHING;
INSERT INTO programme_requirements (programme_id, version, number, key, exam_ids, asked)
SELECT programme_id, 1, 1, 'old', ARRAY[programme_id], '{"key": "old", "kind": "exam"}' FROM programme_versions WHERE state = 'draft';
UPDATE programme_versions SET state = 'published', published_at = drafted_at WHERE state = 'draft';
INSERT INTO programme_enrolments (id, programme_id, version, user_id, organisation_id, state, enrolled_by, enrolled_at, state_at, due_at)
SELECT a.id, a.exam_id, 1, a.student_id, %(org)s, 'active', a.student_id, %(at)s, %(at)s, %(now)s + interval '1 year'
FROM exam_attempts a WHERE a.status = 'completed' AND NOT EXISTS (SELECT FROM programme_enrolments e WHERE e.id = a.id);
DELETE FROM dirty_sessions;
DELETE FROM unarchived_sessions;
DELETE FROM outbox;

-- name: renew
-- The same small amount of new work at every size.
INSERT INTO dirty_sessions (session_id) SELECT unnest(%(sessions)s::bigint[]);
INSERT INTO reporting.fold_claims (session_id, attempt_id, exam_id, due_at)
SELECT id, attempt_id, exam_id, %(now)s - interval '10 years' FROM proctor_sessions WHERE id = ANY (%(sessions)s::bigint[])
ON CONFLICT DO NOTHING;
INSERT INTO unarchived_sessions (session_id) SELECT unnest(%(sessions)s::bigint[]);
INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id, body)
SELECT (encode(substring(int8send(floor(extract(epoch FROM %(now)s) * 1000)::bigint) FROM 3), 'hex')
        || '7000' || '8000' || lpad(to_hex(%(size)s * 16 + n), 12, '0'))::uuid,
       %(school)s, %(now)s, 'user.changed', 'user', n::text, %(teacher)s, 'teacher', NULL, '{}'
FROM generate_series(1, 5) n;
INSERT INTO outbox (event_id, kind, organisation_id, resource_id, payload, occurred_at)
SELECT gen_random_uuid(), 'exam.updated', %(school)s, %(school)s, '{}', %(now)s FROM generate_series(1, 5);
INSERT INTO reporting.partition_marks (dataset, partition) VALUES ('attempt_activity', %(exam)s);
