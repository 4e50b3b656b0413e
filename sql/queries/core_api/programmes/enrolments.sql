-- Who is enrolled in programmes, and how far they are.

-- name: find_enrollable
-- Students of the organisation who are named, or belong to a group that is. One more than may be enrolled at once at most.
SELECT s.id FROM listed_students s
WHERE s.id IN (SELECT unnest(:user_ids::uuid[])
               UNION SELECT m.user_id FROM group_members m WHERE m.group_id = ANY (:group_ids::uuid[]))
ORDER BY s.id
LIMIT :limit;

-- name: insert_enrolments
-- Whoever is enrolled stays so, in the version that they are in. They are judged at once.
INSERT INTO programme_enrolments (id, programme_id, version, user_id, organisation_id, state, enrolled_by, enrolled_at, state_at, due_at)
SELECT given.id, :programme_id, :version, given.user_id, :organisation, 'active', :enrolled_by, :now, :now, :now
FROM unnest(:ids::uuid[], :user_ids::uuid[]) AS given (id, user_id)
ON CONFLICT (programme_id, user_id) WHERE state <> 'withdrawn' DO NOTHING
RETURNING id, user_id;

-- name: hold_enrolment
-- $1 id, $2 programme_id
SELECT id, state, user_id, version FROM programme_enrolments WHERE id = $1 AND programme_id = $2 FOR UPDATE;

-- name: set_enrolment_state
UPDATE programme_enrolments SET state = :state, state_at = :now, due_at = :due_at WHERE id = :id;

-- name: set_due
-- $1 id, $2 due_at timestamptz
UPDATE programme_enrolments SET due_at = $2::timestamptz WHERE id = $1;

-- name: fetch_enrolment
-- $1 id
SELECT id AS enrolment_id, user_id, version, state, enrolled_at, state_at FROM programme_enrolments WHERE id = $1;

-- name: list_enrolments
-- In the order of their ids. The caller has checked that the programme is theirs.
SELECT id AS enrolment_id, user_id, version, state, enrolled_at, state_at
FROM programme_enrolments
WHERE programme_id = :programme_id AND (:state::text IS NULL OR state = :state) AND (:user_id::uuid IS NULL OR user_id = :user_id)
  AND (:cursor::uuid IS NULL OR id > :cursor)
ORDER BY id
LIMIT :limit;

-- name: list_progress
-- $1 enrolment ids uuid[]
SELECT enrolment_id, key, state, counted, needed, submission_ids, lapses_at, judged_at
FROM programme_enrolment_progress WHERE enrolment_id = ANY ($1::uuid[])
ORDER BY enrolment_id, number;

-- name: list_own_enrolments
-- Newest first.
SELECT e.id AS enrolment_id, e.programme_id, p.title, p.title_ar, e.version, e.state, e.enrolled_at, e.state_at,
       (SELECT jsonb_agg(r.asked ORDER BY r.number) FROM programme_requirements r
        WHERE r.programme_id = e.programme_id AND r.version = e.version) AS requirements
FROM programme_enrolments e
JOIN programmes p ON p.id = e.programme_id
WHERE e.user_id = :user_id AND (:cursor::uuid IS NULL OR e.id < :cursor)
ORDER BY e.id DESC
LIMIT :limit;

-- name: list_due
-- Those that are due longest first, from behind one of them on.
SELECT id, due_at FROM programme_enrolments
WHERE due_at <= :now AND (:after_due::timestamptz IS NULL OR (due_at, id) > (:after_due, :after::uuid))
ORDER BY due_at, id
LIMIT :limit;

-- name: hold_due
-- $1 id, $2 now. No row where somebody else is at it, or has been.
SELECT id, programme_id, version, user_id, organisation_id, state FROM programme_enrolments
WHERE id = $1 AND due_at <= $2
FOR NO KEY UPDATE SKIP LOCKED;

-- name: take_up_causes
-- $1 enrolment, which the caller holds, $2 now. What it is judged for now, and never again.
UPDATE programme_causes SET judged_at = $2 WHERE enrolment_id = $1 AND judged_at IS NULL RETURNING event_id;

-- name: list_asked
-- $1 programme_id, $2 version
SELECT asked, exam_ids FROM programme_requirements WHERE programme_id = $1 AND version = $2 ORDER BY number;

-- name: list_facts
-- $1 user_id, $2 exam_ids uuid[]. Their submissions, each with its newest score.
SELECT s.id AS submission_id, s.exam_id, s.finalised_at, c.percentage::float8 AS percentage, c.passed,
       coalesce((SELECT r.is_void FROM submission_results r WHERE r.submission_id = s.id), false) AS is_void
FROM submissions s
LEFT JOIN LATERAL (SELECT g.percentage, g.passed FROM submission_scores g WHERE g.submission_id = s.id
                   ORDER BY g.revision DESC LIMIT 1) c ON true
WHERE s.author_id = $1 AND s.exam_id = ANY ($2::uuid[]) AND s.kind = 'attempt';

-- name: store_progress
-- $1 enrolment, $2 its requirements as they were judged, JSON in their order, $3 now. What is as it was stays so.
INSERT INTO programme_enrolment_progress (enrolment_id, number, key, state, counted, needed, submission_ids, lapses_at, judged_at)
SELECT $1, each.number, each.one ->> 'key', each.one ->> 'state', (each.one ->> 'counted')::integer, (each.one ->> 'needed')::integer,
       ARRAY(SELECT jsonb_array_elements_text(each.one -> 'submission_ids'))::uuid[], (each.one ->> 'lapses_at')::timestamptz, $3
FROM jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS each (one, number)
ON CONFLICT (enrolment_id, number) DO UPDATE
SET state = excluded.state, counted = excluded.counted, submission_ids = excluded.submission_ids, lapses_at = excluded.lapses_at,
    judged_at = excluded.judged_at
WHERE (programme_enrolment_progress.state, programme_enrolment_progress.counted, programme_enrolment_progress.submission_ids,
       programme_enrolment_progress.lapses_at)
   IS DISTINCT FROM (excluded.state, excluded.counted, excluded.submission_ids, excluded.lapses_at);

-- name: hold_certifiable
-- $1 id, $2 whose. How an enrolment stands, which nobody changes meanwhile.
SELECT e.programme_id, e.version, e.state, e.state_at, p.title, p.title_ar, u.full_name,
       encode(sha256(convert_to(requirements_of(e.programme_id, e.version), 'UTF8')), 'hex') AS requirements_sha256
FROM programme_enrolments e
JOIN programmes p ON p.id = e.programme_id
JOIN users u ON u.id = e.user_id
WHERE e.id = $1 AND e.user_id = $2
FOR NO KEY UPDATE OF e;

-- name: count_certificates
-- $1 enrolment as text
SELECT count(*) FROM ledger_events WHERE aggregate_id = $1 AND kind = 'programme_enrolment.certified';

-- name: fetch_certificate
-- $1 id, $2 whose. The newest, as its event has it; where that stands, and what opens it. No row of who was erased.
SELECT l.body, p.position, o.value AS holder_name, encode(o.salt, 'hex') AS holder_salt, e.state, e.state_at,
       requirements_of(e.programme_id, e.version) AS requirements
FROM programme_enrolments e
JOIN ledger_events l ON l.aggregate_id = e.id::text AND l.kind = 'programme_enrolment.certified'
JOIN ledger_salts o ON o.event_id = l.id AND o.name = 'holder'
LEFT JOIN ledger_leaves p ON p.event_id = l.id
WHERE e.id = $1 AND e.user_id = $2
ORDER BY l.id DESC
LIMIT 1;
