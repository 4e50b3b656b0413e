-- What finalising one attempt costs PostgreSQL alone, run by pgbench with -M prepared: the statements of
-- core_api/submissions/submissions.py in its order, in one transaction, from sql/queries as they stood when this was frozen.
--
--   asking.ask_as                  for whom the connection asks, which row security reads
--   submissions.hold_attempt       locks the attempt
--   submissions.list_saved         its answers; the product scores them and writes the content between these two
--   submissions.insert_submission  the submission
--   submissions.insert_parts       its items, subject, first score
--   submissions.complete_attempt   the attempt's outcome, the end of its proctor session, whose id comes back
--   ledger.append_events           the events of both (a trigger queues them for the sealer), with what they commit to; outbox row
--
-- evaluations.fetch_key is missing because the product reads a published key once a process. A parameter that differs from
-- attempt to attempt is made here, cheaply, of the attempt's number; all others are the values of one real finalisation of the
-- same exam, given with -D as text, among them the origin of the request with its commitment; its salt is every record's too.
-- The events' bodies are whole, and canonical as the verifier wants them. A retry's and a late hand-in's statements are not
-- here, nor in what is compared.
--
-- Variables are candidate and attempt (numbers, whose ids are lpad(to_hex(number), 32, '0')::uuid), clients, before, turn.
-- Colons before a letter would be variables, hence chr(58).
\set candidate :turn * :clients + :client_id + 1
\set attempt :before + :candidate
\set turn :turn + 1
SELECT set_config('veritas.view', 'candidate', false),
       set_config('veritas.user_id', lpad(to_hex(:candidate::bigint), 32, '0')::uuid::text, false),
       set_config('veritas.organisation_id', :organisation::text, false);
BEGIN;
SELECT a.id, a.exam_id, a.student_id, a.status, a.started_at, a.expires_at, a.evaluation_version_id, a.attempt_number, a.policy,
       e.organisation_id, a.max_score::text AS max_score, e.passing_score::text AS passing_score
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
WHERE a.id = lpad(to_hex(:attempt::bigint), 32, '0')::uuid
  AND (:candidate::bigint IS NULL OR a.student_id = lpad(to_hex(:candidate::bigint), 32, '0')::uuid)
FOR UPDATE OF a;
SELECT question_id, client_seq, response, saved_at FROM attempt_answers
WHERE attempt_id = lpad(to_hex(:attempt::bigint), 32, '0')::uuid;
WITH given AS MATERIALIZED (
    SELECT (prefix || '70008' || lpad(to_hex(:attempt::bigint), 15, '0'))::uuid AS event_id,
           (prefix || '70009' || lpad(to_hex(:attempt::bigint), 15, '0'))::uuid AS submission_id,
           lpad(to_hex(:attempt::bigint), 32, '0')::uuid AS attempt_id,
           lpad(to_hex(:candidate::bigint), 32, '0')::uuid AS candidate_id
    FROM lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0') AS prefix
)
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by, idempotency_key,
                         body_sha256, version_snapshot, content, content_sha256, event_id, finalised_at)
SELECT submission_id, 'attempt', :organisation::uuid, :exam::uuid, attempt_id, candidate_id, 'candidate', :attempt::text,
       decode(:body, 'hex'), :snapshot::jsonb, :content::bytea, decode(:digest, 'hex'), event_id, now()
FROM given;
WITH given AS MATERIALIZED (
    SELECT (prefix || '70009' || lpad(to_hex(:attempt::bigint), 15, '0'))::uuid AS submission_id,
           lpad(to_hex(:attempt::bigint), 32, '0')::uuid AS attempt_id,
           lpad(to_hex(:candidate::bigint), 32, '0')::uuid AS candidate_id
    FROM lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0') AS prefix
), items AS (
    INSERT INTO submission_items (submission_id, position, question_id, question_version_id, kind, response, client_seq, saved_at,
                                  points, max_points)
    SELECT given.submission_id, item.position, item.question_id, item.question_version_id, item.kind, w.response, w.client_seq,
           w.saved_at, item.points::numeric, item.max_points::numeric
    FROM given
    CROSS JOIN unnest(:positions::integer[], :questions::uuid[], :versions::uuid[], :kinds::text[], :points::text[],
                      :maxima::text[])
        AS item (position, question_id, question_version_id, kind, points, max_points)
    LEFT JOIN attempt_answers w ON w.attempt_id = given.attempt_id AND w.question_id = item.question_id
), subject AS (
    INSERT INTO submission_subjects (submission_id, subject_id, kind) SELECT submission_id, candidate_id, 'user' FROM given
)
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points, ungraded, score,
                               percentage, passed, reason, scored_at, given_points)
SELECT submission_id, 1, :scoring, :item_points::jsonb, :total::numeric, :total_max::numeric, :ungraded::integer,
       nullif(:score, 'none')::numeric, nullif(:percentage, 'none')::numeric, nullif(:passed, 'none')::boolean, 'finalised', now(),
       :given::jsonb
FROM given;
WITH completed AS (
    UPDATE exam_attempts
    SET status = 'completed', submitted_by = 'candidate', completed_at = now(),
        duration_seconds = greatest(0, extract(epoch FROM least(now(), expires_at) - started_at))::integer,
        score = nullif(:score, 'none')::numeric, percentage = nullif(:percentage, 'none')::numeric,
        passed = nullif(:passed, 'none')::boolean,
        submission_data = format('{"submission_id":"%s"}', (
            lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '70009'
            || lpad(to_hex(:attempt::bigint), 15, '0')
        )::uuid)::jsonb
    WHERE id = lpad(to_hex(:attempt::bigint), 32, '0')::uuid
)
UPDATE proctor_sessions SET status = 2, ended_at = greatest(now(), started_at)
WHERE attempt_id = lpad(to_hex(:attempt::bigint), 32, '0')::uuid AND status = 1
RETURNING id AS session \gset
WITH ids AS MATERIALIZED (
    SELECT (prefix || '70008' || lpad(to_hex(:attempt::bigint), 15, '0'))::uuid AS event_id,
           (prefix || '7000a' || lpad(to_hex(:attempt::bigint), 15, '0'))::uuid AS end_id,
           (prefix || '70009' || lpad(to_hex(:attempt::bigint), 15, '0'))::uuid AS submission_id,
           lpad(to_hex(:attempt::bigint), 32, '0')::uuid AS attempt_id,
           lpad(to_hex(:candidate::bigint), 32, '0')::uuid AS candidate_id,
           concat_ws(chr(58), to_char(now(), 'YYYY-MM-DD"T"HH24'), to_char(now(), 'MI'), to_char(now(), 'SS.US"Z"')) AS at
    FROM lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0') AS prefix
), given AS MATERIALIZED (
    SELECT e.*, candidate_id, at, c.hashes, c.committed
    FROM ids
    CROSS JOIN LATERAL (VALUES
        (event_id, 'submission.finalised', 'submission', submission_id::text, format('"origin":"%s",', :committed::text),
         format('{"attempt_id":"%s","content_sha256":"%s"}', attempt_id, :digest::text), true),
        (end_id, 'session.ended', 'session', :session::text, '',
         format('{"attempt_id":"%s","by":"submission.finalised"}', attempt_id), false)
    ) AS e (id, kind, record, aggregate_id, personal, detail, told)
    CROSS JOIN LATERAL commit_to_record(e.record, e.aggregate_id, NULL, decode(:salt, 'hex')) c
), salted AS (
    INSERT INTO ledger_salts (event_id, name, person_id, salt, value)
    SELECT event_id, 'origin', candidate_id, decode(:salt, 'hex'), :origin FROM ids
    UNION ALL
    SELECT id, 'record:' || record, NULL, decode(:salt, 'hex'), hashes FROM given
), told AS (
    INSERT INTO outbox (event_id, kind, organisation_id, actor_id, resource_id, payload, occurred_at)
    SELECT id, kind, :organisation::uuid, candidate_id, aggregate_id::uuid, detail::jsonb, now() FROM given WHERE told
)
INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id,
                           body)
SELECT id, :organisation::uuid, now(), kind, record, aggregate_id, candidate_id, 'student', candidate_id,
       format('{"actor_id":"%s","actor_role":"student","aggregate_id":"%s","aggregate_type":"%s",'
              '"commitments":{%s"record:%s":"%s"},"detail":%s,"event_id":"%s","kind":"%s","occurred_at":"%s",'
              '"organisation_id":"%s","subject_id":"%s"}',
              candidate_id, aggregate_id, record, personal, record, committed, detail, id, kind, at, :organisation::text,
              candidate_id)::bytea
FROM given;
COMMIT;
