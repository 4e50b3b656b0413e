-- People in bulk (spec.md A-8): what the school's own system calls its people and classes, so that a file that comes again finds
-- them again; and invitations, by which somebody sets a first password.

-- NOT NULL would be wrong: whoever was made by hand has none. No record of the ledger covers these: they say where a row of a
-- file belongs, not who somebody is.
ALTER TABLE users ADD COLUMN source_id text;
ALTER TABLE groups ADD COLUMN source_id text;
COMMENT ON COLUMN users.source_id IS 'sourcedId in the school''s files';
COMMENT ON COLUMN groups.source_id IS 'sourcedId of the class in the school''s files';
-- Empty: no row has one yet.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX users_source ON users (organisation_id, source_id) WHERE source_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX groups_source ON groups (organisation_id, source_id) WHERE source_id IS NOT NULL;
GRANT UPDATE (source_id) ON users, groups TO veritas_core;

-- The school says what its people are called.
CREATE OR REPLACE TRIGGER managed_account BEFORE UPDATE ON users FOR EACH ROW
    WHEN (asker_view() = 'organisation')
    EXECUTE FUNCTION keep_all_but('role', 'is_active', 'token_generation', 'standing', 'full_name', 'source_id');

-- The token itself is never stored. As a launch link, an invitation is worth something only while whom it is for and who made it
-- stand as they did: a lock or another role voids it. Of several of one person's the first that is used ends all.
CREATE TABLE invitations (
    sha256          bytea PRIMARY KEY CHECK (length(sha256) = 32),
    user_id         uuid NOT NULL REFERENCES users,
    standing        integer NOT NULL,
    issuer_id       uuid NOT NULL REFERENCES users,
    issuer_standing integer NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL
);
CREATE INDEX invitations_user ON invitations (user_id);
CREATE INDEX invitations_expiry ON invitations (expires_at);
GRANT SELECT, INSERT, DELETE ON invitations TO veritas_core;
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON invitations TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY asker ON invitations TO veritas_core
    USING ((SELECT asker_view()) = 'organisation' AND EXISTS (SELECT FROM users u WHERE u.id = user_id))
    WITH CHECK ((SELECT asker_view()) = 'organisation' AND issuer_id = (SELECT asker())
                AND EXISTS (SELECT FROM users u WHERE u.id = user_id));
