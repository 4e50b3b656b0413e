-- Erasures as the pipeline carries them out, step by step.

-- name: try_erase
-- One process erases at a time; held until the connection closes.
SELECT pg_try_advisory_lock(1986359925, 9) AS erases;

-- name: list_open
-- The oldest first.
SELECT id::text AS id, person_id::text AS person_id, organisation_id, step, past, stepped_at, requested_by, requested_at
FROM erasures WHERE status <> 'done' ORDER BY requested_at, id;

-- name: begin
-- $1 erasure, $2 moment. False where it is done, or something keeps it from going on.
SELECT begin_erasing($1::uuid, $2) AS begun;

-- name: erase_account
SELECT part, amount, told_as, aggregate FROM erase_account();

-- name: erase_attempt
-- $1 attempt
SELECT part, amount, told_as, aggregate FROM erase_attempt($1::uuid);

-- name: erase_observation
-- $1 submission
SELECT part, amount, told_as, aggregate FROM erase_observation($1::uuid);

-- name: erase_evidence
-- $1 evidence
SELECT part, amount, told_as, aggregate FROM erase_evidence($1);

-- name: end
SELECT end_erasing(:to_step, :past, :took::text::jsonb, :ids::uuid[], :moments::timestamptz[], :kinds::text[],
                   :aggregate_types::text[], :aggregate_ids::text[], :bodies::bytea[], :records::text[], :salts::bytea[],
                   :places::integer[]);

-- name: next_attempt
-- $1 person, $2 the attempt before it, or empty, $3 moment. The next one by id; whether its sessions ended before that moment.
SELECT a.id::text AS id,
       NOT EXISTS (SELECT FROM proctor_sessions s WHERE s.attempt_id = a.id AND (s.ended_at IS NULL OR s.ended_at > $3)) AS is_settled
FROM exam_attempts a
WHERE a.student_id = $1::uuid AND ($2 = '' OR a.id > nullif($2, '')::uuid)
ORDER BY a.id
LIMIT 1;

-- name: next_observation
-- $1 erasure, $2 the submission before it, or empty.
SELECT observation_to_erase($1::uuid, nullif($2, '')::uuid)::text AS id;

-- name: next_evidence
-- $1 erasure. The first one that is there.
SELECT min(evidence_id)::bigint AS id FROM evidence_to_erase($1::uuid);

-- name: list_archived
-- $1 person. Sessions of theirs of which the archive may have events.
SELECT s.id FROM proctor_sessions s JOIN reporting.archived_sessions a ON a.session_id = s.id WHERE s.candidate_id = $1::uuid ORDER BY s.id;

-- name: has_unarchived
-- $1 person. Whether some of their events are on their way to the archive.
SELECT EXISTS (SELECT FROM proctor_sessions s JOIN unarchived_sessions u ON u.session_id = s.id WHERE s.candidate_id = $1::uuid) AS waits;

-- name: has_marks
-- $1 person. Whether something of theirs is still to be computed.
SELECT EXISTS (SELECT FROM reporting.projection_marks m JOIN exam_attempts a ON a.id = m.attempt_id WHERE a.student_id = $1::uuid)
    OR EXISTS (SELECT FROM reporting.projection_marks m WHERE m.key = $1::uuid) AS waits;

-- name: has_older_marks
-- $1 moment. Whether a partition that changed before is still to be published.
SELECT EXISTS (SELECT FROM reporting.partition_marks WHERE marked_at <= $1) AS waits;

-- name: ask_again
-- 'asked', 'stands' or 'unknown'.
SELECT ask_erasure_again(:id::uuid, :person::uuid, :by::uuid, :requested_at, :at, :event_id, :body, :salt, :place) AS became;
