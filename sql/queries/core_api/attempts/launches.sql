-- Launch links: for whom they may be made, what they are worth when they come, and that each opens one sign-in.

-- name: list_candidates
-- $1 organisation uuid, $2 ids uuid[], $3 emails text[] as accounts.fold_emails has them, $4 exam uuid
-- Active students of the organisation who are in either list, and whether the exam reaches them: it is open to the whole
-- organisation, an assignment reaches them, or an attempt of theirs is under way.
SELECT u.id, u.email, lower(u.email) AS folded, u.standing,
       NOT EXISTS (SELECT FROM restricted_exams r WHERE r.exam_id = $4)
       OR EXISTS (SELECT FROM assignments a
                  WHERE a.exam_id = $4 AND a.revoked_at IS NULL
                    AND (a.user_id = u.id OR a.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = u.id)))
       OR EXISTS (SELECT FROM exam_attempts t WHERE t.exam_id = $4 AND t.student_id = u.id AND t.status = 'in_progress')
       AS is_reached
FROM users u
WHERE u.organisation_id = $1 AND u.role = 'student' AND u.is_active
  AND (u.id = ANY ($2::uuid[]) OR lower(u.email) = ANY ($3::text[]));

-- name: fetch_standing
-- $1 user_id uuid
SELECT standing FROM users WHERE id = $1;

-- name: hold_link
-- The standings are those of then. The student of a link that is still worth something: both are active and stand as they
-- did when it was made, and the issuer may still manage its students. Held, so that a lock waits for the sign-in that it has to
-- end.
SELECT u.id, u.organisation_id, u.email, u.username, u.full_name, u.role, u.token_generation
FROM users u
JOIN users i ON i.id = :issuer_id AND i.organisation_id = :organisation AND i.is_active AND i.standing = :issuer_standing
JOIN exams e ON e.id = :exam_id AND e.organisation_id = :organisation
WHERE u.id = :student_id AND u.organisation_id = :organisation AND u.is_active AND u.role = 'student' AND u.standing = :standing
  AND (i.role = 'admin'
       OR i.role = 'teacher' AND (e.creator_id = i.id
                                  OR EXISTS (SELECT FROM teacher_exam_permissions p
                                             WHERE p.teacher_id = i.id AND p.exam_id = e.id AND p.can_view
                                               AND (p.can_edit OR p.can_manage_students))))
FOR SHARE OF u, i;

-- name: use_link
-- `agent`: SHA-256 of the user agent. No row comes back when the link was used before; a second use at the same moment waits
-- for the first to commit.
INSERT INTO launch_uses (jti, user_id, exam_id, used_at, expires_at, login_id, address, agent_sha256)
VALUES (:jti, :user_id, :exam_id, :used_at, :expires_at, :login_id, :address, :agent)
ON CONFLICT (jti) DO NOTHING
RETURNING jti;

-- name: use_link_again
-- The sign-in of the first use, where its reply may have got lost: a moment ago, the same place, and nobody has ended it.
UPDATE launch_uses SET uses = uses + 1
WHERE jti = :jti AND used_at > :used_after AND address IS NOT DISTINCT FROM :address AND agent_sha256 = :agent
  AND uses < :uses_max
  AND EXISTS (SELECT FROM logins l WHERE l.id = login_id AND l.revoked_at IS NULL AND l.expires_at > :now)
RETURNING login_id;

-- name: note_replay
-- $1 jti uuid, $2 at timestamptz. A row the first time only: a link that is sent for ever is on the ledger once.
UPDATE launch_uses SET replayed_at = $2 WHERE jti = $1 AND replayed_at IS NULL RETURNING jti;

-- name: delete_expired_uses
-- $1 now timestamptz. Their links are dead of themselves.
DELETE FROM launch_uses WHERE expires_at <= $1;

-- name: end_launched_by
-- $1 issuer uuid, $2 now timestamptz, $3 when the tokens are dead of themselves timestamptz
-- Every sign-in that came from their links and still runs; a row for each that was ended.
WITH ended AS (
    UPDATE logins SET revoked_at = $2, reason = 'issuer_barred'
    WHERE issuer_id = $1 AND revoked_at IS NULL AND expires_at > $2
    RETURNING id, user_id
)
INSERT INTO revocations (user_id, mark, revoked_at, expires_at)
SELECT user_id, id::text, $2, $3 FROM ended
ON CONFLICT (user_id, mark) DO UPDATE SET expires_at = greatest(revocations.expires_at, excluded.expires_at)
RETURNING user_id, mark;
