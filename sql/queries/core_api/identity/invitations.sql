-- Invitations: by which somebody without a password sets their first one.

-- name: list_invitable
-- Active people of the organisation without a password, no services. `renewed`: those too whose
-- invitation still holds. By id, and held: whoever invites them at the same moment waits, and what they make ends this one's.
SELECT u.id, u.email, u.full_name, u.role
FROM users u
WHERE u.organisation_id = :organisation AND u.is_active AND u.password_hash IS NULL AND u.role <> 'service'
  AND u.id = ANY (:ids::uuid[])
  AND (:renewed OR NOT EXISTS (SELECT FROM invitations v JOIN users i ON i.id = v.issuer_id
                               WHERE v.user_id = u.id AND v.expires_at > :now AND v.standing = u.standing
                                 AND i.is_active AND i.standing = v.issuer_standing))
ORDER BY u.id
FOR NO KEY UPDATE OF u;

-- name: delete_invitations
-- $1 user_ids uuid[]. Whatever was sent to them before is worth nothing.
DELETE FROM invitations WHERE user_id = ANY ($1::uuid[]);

-- name: insert_invitations
-- `digests` and `ids` are pairwise; all stand as they do now.
INSERT INTO invitations (sha256, user_id, standing, issuer_id, issuer_standing, created_at, expires_at)
SELECT given.sha256, u.id, u.standing, i.id, i.standing, :created_at, :expires_at
FROM unnest(:digests::bytea[], :ids::uuid[]) AS given (sha256, user_id)
JOIN users u ON u.id = given.user_id
JOIN users i ON i.id = :issuer;

-- name: find_invited
-- $1 sha256 bytea, $2 now timestamptz. A row where the invitation holds; its person is held: of two uses at once the second finds
-- that they have a password. Its issuer is, too: a lock waits for the acceptance, or comes before it.
SELECT u.id, u.organisation_id, u.email, u.username, u.full_name, u.role, u.token_generation
FROM invitations v
JOIN users u ON u.id = v.user_id
JOIN users i ON i.id = v.issuer_id
WHERE v.sha256 = $1 AND v.expires_at > $2 AND u.is_active AND u.password_hash IS NULL AND u.standing = v.standing
  AND i.is_active AND i.standing = v.issuer_standing
FOR NO KEY UPDATE OF u FOR SHARE OF i;

-- name: set_first_password
-- $1 user_id uuid, $2 hash. The caller holds them, and they have none.
UPDATE users SET password_hash = $2 WHERE id = $1;

-- name: delete_expired_invitations
-- $1 now timestamptz
DELETE FROM invitations WHERE expires_at <= $1;
