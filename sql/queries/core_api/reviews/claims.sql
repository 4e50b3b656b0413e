-- Who is at work on which session. A claim that has expired is nobody's.

-- name: take_claim
-- No row comes back where somebody else holds it. `is_new`: it was not the caller's before.
INSERT INTO review_claims (session_id, exam_id, organisation_id, claimed_by, claimed_at, expires_at)
VALUES (:session_id, :exam_id, :organisation_id, :user_id, :now, :expires_at)
ON CONFLICT (session_id) DO UPDATE
SET claimed_by = excluded.claimed_by, expires_at = greatest(review_claims.expires_at, excluded.expires_at),
    claimed_at = CASE WHEN review_claims.claimed_by = excluded.claimed_by AND review_claims.expires_at > :now
                      THEN review_claims.claimed_at ELSE excluded.claimed_at END
WHERE review_claims.claimed_by = excluded.claimed_by OR review_claims.expires_at <= :now
RETURNING session_id AS proctor_session_id, claimed_by, claimed_at, expires_at, claimed_at = :now AS is_new;

-- name: fetch_claim
-- $1 session id, $2 now
SELECT c.session_id AS proctor_session_id, c.claimed_by, coalesce(u.full_name, '') AS claimed_by_name, c.claimed_at, c.expires_at
FROM review_claims c
LEFT JOIN users u ON u.id = c.claimed_by
WHERE c.session_id = $1 AND c.expires_at > $2;

-- name: is_final
-- $1 session id
SELECT EXISTS (SELECT FROM proctor_decisions WHERE session_id = $1 AND is_finalized);

-- name: delete_claim
-- $1 session id
DELETE FROM review_claims WHERE session_id = $1;
