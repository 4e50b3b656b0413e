-- People, exams, attempts: the columns that veritas-architecture.txt names. Identifiers are UUIDv7, made by the writer
-- of the row (spec.md, decision 1).

CREATE TABLE organisations (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id              uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations,
    email           text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    username        text NOT NULL CHECK (length(username) BETWEEN 1 AND 64),
    full_name       text NOT NULL DEFAULT '',
    password_hash   text,                               -- null: signs in by launch link or as a service only
    role            text NOT NULL CHECK (role IN ('student', 'teacher', 'reviewer', 'observer', 'admin', 'service')),
    is_active       boolean NOT NULL DEFAULT true,
    is_verified     boolean NOT NULL DEFAULT false,
    last_login      timestamptz,
    last_login_ip   inet,
    metadata        jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE UNIQUE INDEX users_username ON users (organisation_id, lower(username));
CREATE INDEX users_role ON users (organisation_id, role, is_active);

CREATE TABLE exams (
    id                        uuid PRIMARY KEY,
    organisation_id           uuid NOT NULL REFERENCES organisations,
    creator_id                uuid NOT NULL REFERENCES users,
    title                     text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description               text NOT NULL DEFAULT '',
    subject                   text NOT NULL DEFAULT '',
    topic                     text NOT NULL DEFAULT '',
    max_score                 numeric(10, 2) NOT NULL DEFAULT 100 CHECK (max_score > 0),
    duration_minutes          integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1440),
    passing_score             numeric(10, 2) NOT NULL DEFAULT 50 CHECK (passing_score >= 0 AND passing_score <= max_score),
    is_published              boolean NOT NULL DEFAULT false,
    published_at              timestamptz,
    enable_monitoring         boolean NOT NULL DEFAULT true,
    enable_integrity_analysis boolean NOT NULL DEFAULT true,
    metadata                  jsonb NOT NULL DEFAULT '{}',
    created_at                timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX exams_creator ON exams (creator_id, is_published);
CREATE INDEX exams_published ON exams (organisation_id, is_published);

-- Staff other than the creator reach an exam only through a row here (spec.md A-4).
CREATE TABLE teacher_exam_permissions (
    teacher_id         uuid NOT NULL REFERENCES users,
    exam_id            uuid NOT NULL REFERENCES exams,
    can_view           boolean NOT NULL DEFAULT true,
    can_edit           boolean NOT NULL DEFAULT false,
    can_view_analytics boolean NOT NULL DEFAULT false,
    granted_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (teacher_id, exam_id)
);

CREATE TABLE exam_attempts (
    id               uuid PRIMARY KEY,
    exam_id          uuid NOT NULL REFERENCES exams,
    student_id       uuid NOT NULL REFERENCES users,
    status           text NOT NULL DEFAULT 'in_progress' CHECK (status IN ('in_progress', 'completed', 'abandoned')),
    score            numeric(10, 2),
    max_score        numeric(10, 2),
    percentage       numeric(6, 3),
    passed           boolean,
    integrity_score  double precision,
    lmi              double precision,
    dropout_label    text CHECK (dropout_label IN ('safe', 'incapable', 'copy', 'no_interest')),
    flagged          boolean NOT NULL DEFAULT false,
    started_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    completed_at     timestamptz,
    duration_seconds integer,
    submission_data  jsonb NOT NULL DEFAULT '{}',
    metadata         jsonb NOT NULL DEFAULT '{}'
);
-- One running attempt per candidate and exam: this is what makes "start" idempotent.
CREATE UNIQUE INDEX exam_attempts_running ON exam_attempts (exam_id, student_id) WHERE status = 'in_progress';
CREATE INDEX exam_attempts_student ON exam_attempts (student_id, status);
CREATE INDEX exam_attempts_exam ON exam_attempts (exam_id, started_at);

-- A launch link is used once; the row is the use (spec.md A-7).
CREATE TABLE launch_uses (
    jti        uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users,
    exam_id    uuid NOT NULL REFERENCES exams,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON organisations, users, exams, teacher_exam_permissions, exam_attempts TO veritas_core;
GRANT DELETE ON teacher_exam_permissions TO veritas_core;
GRANT SELECT, INSERT ON launch_uses TO veritas_core;
GRANT SELECT (id, organisation_id, role, full_name) ON users TO veritas_pipeline;
GRANT SELECT ON organisations, exams, exam_attempts TO veritas_pipeline;
GRANT SELECT (id, exam_id, student_id, status, started_at, expires_at) ON exam_attempts TO veritas_ingest;
