-- The face detector: what it is to look at, and what it has found.

-- name: has_due
-- Whether there is something to look at.
SELECT EXISTS (SELECT FROM detector_claims WHERE due_at <= now());

-- name: count_waiting
-- $1 rows at most that are counted. Pieces that nobody has looked at.
SELECT count(*) FROM (SELECT FROM detector_claims LIMIT $1) c;

-- name: claim_piece
-- $1 seconds. The piece that has waited longest, for so long; nobody else gets it meanwhile. `tries` tells whose turn it is.
UPDATE detector_claims c SET due_at = now() + $1::float8 * interval '1 second', tries = c.tries + 1
FROM (SELECT evidence_id FROM detector_claims WHERE due_at <= now() ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) due
WHERE c.evidence_id = due.evidence_id
RETURNING c.evidence_id, c.tries;

-- name: give_back
-- $1 evidence_id, $2 tries. At once, and without having tried: the detector cannot work.
UPDATE detector_claims SET due_at = now(), tries = tries - 1 WHERE evidence_id = $1 AND tries = $2;

-- name: put_off
-- $1 evidence_id, $2 tries, $3 seconds
UPDATE detector_claims SET due_at = now() + $3::float8 * interval '1 second' WHERE evidence_id = $1 AND tries = $2;

-- name: read_piece
-- $1 evidence_id. Where it is, whose it is, when it was taken; which types of events its candidate is exempt from; whether the
-- detector has seen a face in its session.
SELECT e.session_id, e.type, e.tier, coalesce(e.start_at, e.requested_at) AS taken_at, s.started_at,
       least(coalesce(s.ended_at, e.closed_at), e.closed_at) AS until,
       (SELECT coalesce(array_agg(c.object_key ORDER BY c.number), '{}') FROM evidence_chunks c
        WHERE c.evidence_id = e.id AND c.stored_at IS NOT NULL) AS object_keys,
       (SELECT coalesce(array_agg(DISTINCT v.event_type), '{}')
        FROM rule_weights(s.attempt_id) w
        JOIN risk_rule_versions v ON v.rule_id = w.rule_id
        WHERE w.percent = 0) AS exempt,
       EXISTS (SELECT FROM detections d WHERE d.session_id = e.session_id AND d.has_seen) AS has_seen
FROM evidence e
JOIN proctor_sessions s ON s.id = e.session_id
WHERE e.id = $1;

-- name: settle_piece
-- $1 evidence_id, $2 tries. No row where somebody else has had it since.
DELETE FROM detector_claims WHERE evidence_id = $1 AND tries = $2 RETURNING evidence_id;

-- name: put_detection
INSERT INTO detections (evidence_id, session_id, model, is_exempt, has_seen, frames, events, looked_at)
VALUES (:evidence_id, :session_id, :model, :is_exempt, :has_seen, :frames, :events, now());

-- name: note_events
-- Arrays, one place an event. The writer's sweep puts them into the stream, each at its moment; `places` are their names.
INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at, event_type, payload)
SELECT :session_id, 'face_detection', place, severity, at, event_type, payload::jsonb
FROM unnest(:places::bigint[], :severities::smallint[], :moments::timestamptz[], :types::smallint[], :payloads::text[])
    AS told (place, severity, at, event_type, payload);
