-- Sign-ins, their refresh tokens, and what was taken back.

-- name: record_login
-- $1 user_id uuid, $2 at timestamptz, $3 address inet or null, $4 generation int that the credentials were read with
-- No row where the account was locked or signed out everywhere since: the sign-in fails then. Holds the user's row.
UPDATE users SET last_login = $2, last_login_ip = $3
WHERE id = $1 AND is_active AND token_generation = $4
RETURNING id;

-- name: delete_old_logins
-- $1 user_id uuid, $2 now timestamptz, $3 logins bigint that stay. Expired ones, and the oldest beyond the bound; their
-- refresh tokens go with them. What came from launch links neither counts nor makes room: links are made by others.
DELETE FROM logins
WHERE user_id = $1
  AND (expires_at < $2
       OR id IN (SELECT id FROM logins WHERE user_id = $1 AND exam_id IS NULL ORDER BY created_at DESC, id DESC OFFSET $3));

-- name: insert_login
-- `exam_id` that it is bound to and `issuer_id` of its launch link, both null where it came from a password.
INSERT INTO logins (id, user_id, created_at, expires_at, exam_id, issuer_id)
VALUES (:id, :user_id, :created_at, :expires_at, :exam_id, :issuer_id);

-- name: insert_refresh_token
INSERT INTO refresh_tokens (id, login_id, parent_id, sha256, created_at, expires_at)
VALUES (:id, :login_id, :parent_id, :sha256, :created_at, :expires_at);

-- name: hold_login_of_token
-- $1 sha256 bytea. Holds the login: of two refreshes at once the second waits here.
SELECT l.id FROM logins l WHERE l.id = (SELECT login_id FROM refresh_tokens WHERE sha256 = $1) FOR UPDATE;

-- name: fetch_refresh_token
-- $1 sha256 bytea. Read after `hold_login_of_token`, so that it sees what the one before committed.
SELECT r.id AS token_id, r.login_id, r.used_at, r.expires_at AS token_expires_at, l.revoked_at, l.exam_id, u.is_active,
       u.token_generation, u.id, u.organisation_id, u.email, u.username, u.full_name, u.role
FROM refresh_tokens r
JOIN logins l ON l.id = r.login_id
JOIN users u ON u.id = l.user_id
WHERE r.sha256 = $1;

-- name: spend_refresh_token
-- $1 id uuid, $2 at timestamptz
UPDATE refresh_tokens SET used_at = $2 WHERE id = $1;

-- name: delete_unspent_token
-- $1 login_id uuid
DELETE FROM refresh_tokens WHERE login_id = $1 AND used_at IS NULL;

-- name: delete_expired_refresh_tokens
-- $1 login_id uuid, $2 now timestamptz. Nobody can use them; that they come again is then no news.
DELETE FROM refresh_tokens WHERE login_id = $1 AND expires_at < $2;

-- name: count_refresh_tokens
-- $1 login_id uuid
SELECT count(*) FROM refresh_tokens WHERE login_id = $1;

-- name: extend_login
-- $1 id uuid, $2 expires_at timestamptz
UPDATE logins SET expires_at = $2 WHERE id = $1;

-- name: revoke_login
-- $1 id uuid, $2 user_id uuid, $3 at timestamptz, $4 reason text. Revoking twice keeps the first time and reason.
UPDATE logins SET revoked_at = $3, reason = $4 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL;

-- name: raise_generation
-- $1 user_id uuid. Every access token signed so far is void; returns the generation of those to come.
UPDATE users SET token_generation = token_generation + 1 WHERE id = $1 RETURNING token_generation;

-- name: revoke_logins
-- $1 user_id uuid, $2 at timestamptz
UPDATE logins SET revoked_at = $2, reason = 'everywhere' WHERE user_id = $1 AND revoked_at IS NULL;

-- name: insert_revocation
-- $1 user_id uuid, $2 mark text, $3 revoked_at timestamptz, $4 expires_at timestamptz
INSERT INTO revocations (user_id, mark, revoked_at, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, mark) DO UPDATE SET expires_at = greatest(revocations.expires_at, excluded.expires_at);

-- name: list_revocations
-- $1 since timestamptz, $2 now timestamptz. Those of tokens that may still be alive.
SELECT user_id, mark, expires_at FROM revocations WHERE revoked_at >= $1 AND expires_at > $2;

-- name: delete_expired_revocations
-- $1 now timestamptz
DELETE FROM revocations WHERE expires_at <= $1;
