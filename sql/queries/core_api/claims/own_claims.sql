-- A candidate's own claims.

-- name: hold_claimable
-- $1 attempt_id. One claim about it is opened at a time.
SELECT pg_advisory_xact_lock(hashtextextended('claim ' || $1::uuid::text, 0));

-- name: find_claimable
-- What may be claimed against of the caller's attempt: since when its result is shown as it is, null while somebody has to grade; since
-- when it is void, null where it counts; when a claim about that was opened last. No row: nothing of theirs was handed in. A revision
-- of the score that changes nothing is no other result; one that was void and counts again is shown anew.
SELECT s.id AS submission_id, s.attempt_id, s.exam_id, s.author_id AS candidate_id, s.organisation_id,
       CASE WHEN c.score IS NOT NULL THEN
           greatest((SELECT min(g.scored_at) FROM submission_scores g
                     WHERE g.submission_id = s.id
                       AND g.revision > coalesce((SELECT max(o.revision) FROM submission_scores o
                                                  WHERE o.submission_id = s.id
                                                    AND (o.points, o.max_points, o.score, o.passed)
                                                        IS DISTINCT FROM (c.points, c.max_points, c.score, c.passed)), 0)),
                    (SELECT r.changed_at FROM submission_results r WHERE r.submission_id = s.id AND NOT r.is_void))
       END AS scored_at,
       (SELECT r.changed_at FROM submission_results r WHERE r.submission_id = s.id AND r.is_void) AS void_at,
       (SELECT max(l.opened_at) FROM claims l WHERE l.attempt_id = s.attempt_id AND l.subject = :subject) AS claimed_at
FROM submissions s
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id ORDER BY revision DESC LIMIT 1) c
WHERE s.attempt_id = :attempt_id AND s.author_id = :user_id;

-- name: fetch_own_claim
-- $1 claim id, $2 candidate
SELECT c.id AS claim_id, c.attempt_id, c.exam_id, e.title AS exam_title, c.subject, c.state, c.opened_at, c.state_at, c.deadline_at,
       EXISTS (SELECT FROM disputes d WHERE d.claim_id = c.id) AS is_disputed
FROM claims c
JOIN exams e ON e.id = c.exam_id
WHERE c.id = $1 AND c.candidate_id = $2;

-- name: list_own_claims
-- Newest first.
SELECT c.id AS claim_id, c.attempt_id, c.exam_id, e.title AS exam_title, c.subject, c.state, c.opened_at, c.state_at, c.deadline_at,
       EXISTS (SELECT FROM disputes d WHERE d.claim_id = c.id) AS is_disputed
FROM claims c
JOIN exams e ON e.id = c.exam_id
WHERE c.candidate_id = :user_id AND (:cursor::uuid IS NULL OR c.id < :cursor)
ORDER BY c.id DESC
LIMIT :limit;
