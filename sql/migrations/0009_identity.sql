-- Who somebody is, for how long, and what was taken back (spec.md A-1 to A-5).

-- Registration needs both the installation's setting and the organisation's consent.
ALTER TABLE organisations ADD COLUMN registration_open boolean NOT NULL DEFAULT false;

-- Every access token carries its user's generation. Locking, a new role, a new password and signing out everywhere raise
-- it: whatever was signed before is worth nothing, and no clock is asked.
ALTER TABLE users ADD COLUMN token_generation integer NOT NULL DEFAULT 0;
CREATE INDEX users_listed ON users (organisation_id, id);

CREATE TABLE student_profiles (
    id                         uuid PRIMARY KEY,
    user_id                    uuid NOT NULL UNIQUE REFERENCES users,
    enrollment_id              text NOT NULL DEFAULT '' CHECK (length(enrollment_id) <= 64),
    cohort                     text NOT NULL DEFAULT '' CHECK (length(cohort) <= 100),
    cumulative_integrity_score double precision CHECK (cumulative_integrity_score BETWEEN 0 AND 1),
    cumulative_lmi             double precision,
    total_exams_attempted      integer NOT NULL DEFAULT 0 CHECK (total_exams_attempted >= 0),
    total_exams_passed         integer NOT NULL DEFAULT 0 CHECK (total_exams_passed BETWEEN 0 AND total_exams_attempted),
    current_dropout_risk       text CHECK (current_dropout_risk IN ('safe', 'incapable', 'copy', 'no_interest')),
    flagged_for_review         boolean NOT NULL DEFAULT false
);
CREATE INDEX student_profiles_dropout_risk ON student_profiles (current_dropout_risk);
CREATE INDEX student_profiles_flagged ON student_profiles (user_id) WHERE flagged_for_review;

CREATE TABLE teacher_profiles (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL UNIQUE REFERENCES users,
    title      text NOT NULL DEFAULT '' CHECK (length(title) <= 100),
    department text NOT NULL DEFAULT '' CHECK (length(department) <= 100)
);

CREATE TABLE groups (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description     text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX groups_name ON groups (organisation_id, lower(name));

CREATE TABLE group_members (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES users,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

-- One sign-in: the family of refresh tokens that follow from it. Whoever rotates or revokes holds this row, so that a
-- token made at the moment of a revocation falls with its family.
CREATE TABLE logins (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,                       -- of its latest refresh token
    revoked_at timestamptz,
    reason     text CHECK (reason IN ('signed_out', 'everywhere', 'reuse')),
    CHECK ((revoked_at IS NULL) = (reason IS NULL))
);
CREATE INDEX logins_user ON logins (user_id);

-- The token itself is never stored. At most one token of a family is unspent: its last.
CREATE TABLE refresh_tokens (
    id         uuid PRIMARY KEY,
    login_id   uuid NOT NULL REFERENCES logins ON DELETE CASCADE,
    parent_id  uuid UNIQUE REFERENCES refresh_tokens ON DELETE SET NULL,
    sha256     bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE UNIQUE INDEX refresh_tokens_unspent ON refresh_tokens (login_id) WHERE used_at IS NULL;
CREATE INDEX refresh_tokens_login ON refresh_tokens (login_id);

-- What was taken back while access tokens may still be alive. Written with the change itself; Redis carries it to every
-- process, and is told again from here whenever it lost it. mark: a token's or a login's id, or '<n' for all tokens of
-- the user from before generation n.
CREATE TABLE revocations (
    user_id    uuid NOT NULL REFERENCES users,
    mark       text NOT NULL CHECK (length(mark) BETWEEN 2 AND 64),
    revoked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,                       -- then the tokens are dead of themselves
    PRIMARY KEY (user_id, mark)
);
CREATE INDEX revocations_at ON revocations (revoked_at);
CREATE INDEX revocations_expiry ON revocations (expires_at);

-- Sign-ins that are under way or failed. An account is kept as a digest only: people type passwords into the wrong field.
-- network: one IPv4 address, or the /64 of an IPv6 address.
CREATE TABLE login_attempts (
    network   inet NOT NULL,
    account   bytea NOT NULL CHECK (length(account) = 32),
    began_at  timestamptz NOT NULL,                        -- of the window
    attempts  integer NOT NULL,
    failed_at timestamptz,                                 -- the latest failure
    PRIMARY KEY (network, account)
);
CREATE INDEX login_attempts_failed ON login_attempts (network, failed_at DESC) WHERE failed_at IS NOT NULL;
CREATE INDEX login_attempts_began ON login_attempts (began_at);

-- The last failures from one network, newest first, and when that was last told.
CREATE TABLE login_networks (
    network    inet PRIMARY KEY,
    failures   timestamptz[] NOT NULL,
    alerted_at timestamptz
);

GRANT SELECT, INSERT, UPDATE ON student_profiles, teacher_profiles TO veritas_core;
GRANT SELECT, INSERT, UPDATE, DELETE ON groups, group_members, logins, login_attempts, login_networks TO veritas_core;
GRANT SELECT, INSERT, DELETE ON refresh_tokens TO veritas_core;
GRANT UPDATE (used_at) ON refresh_tokens TO veritas_core;
GRANT SELECT, INSERT, UPDATE, DELETE ON revocations TO veritas_core;
