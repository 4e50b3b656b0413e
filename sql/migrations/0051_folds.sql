-- What is computed of a session is carried forward by what arrived since, in place of computing its attempt anew.

-- How far each session is folded, and the state of everything that is computed of it: whoever moves the one stores the other.
CREATE TABLE reporting.session_folds (
    session_id  bigint PRIMARY KEY,
    through_seq integer NOT NULL,                       -- every sequence up to this is in the states
    through_at  timestamptz,                            -- no event beyond it is older; null: nothing was folded
    states      bytea NOT NULL,                         -- msgpack, by rider: its version and its state
    wake_at     timestamptz                             -- when time alone changes something; null: never
) WITH (fillfactor = 50);
CREATE INDEX session_folds_wake ON reporting.session_folds (wake_at) WHERE wake_at IS NOT NULL;

-- A row a session that is due: gathered from dirty_sessions, deleted by the turn that has folded all of it. A queue that is
-- always read whole, hence without an index on its time.
CREATE TABLE reporting.fold_claims (
    session_id bigint PRIMARY KEY,
    attempt_id uuid NOT NULL,                           -- whose sessions are folded together, by one worker
    exam_id    uuid NOT NULL,                           -- which take turns
    due_at     timestamptz NOT NULL,                    -- since when
    generation integer NOT NULL DEFAULT 1,              -- one more whenever it was touched again
    causes     text[] NOT NULL DEFAULT '{}'             -- other than events
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.session_folds, reporting.fold_claims TO veritas_pipeline;

ALTER TABLE dirty_sessions ADD COLUMN cause text;
COMMENT ON COLUMN dirty_sessions.cause IS 'Why, where it was not events: for what is computed of more than events.';
GRANT INSERT (cause), UPDATE (id) ON dirty_sessions TO veritas_pipeline;
ALTER TABLE dirty_sessions SET (autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE dirty_sessions IS
    'A row per session touched by a batch, or finished, or otherwise changed; inserted only, gathered by the pipeline.';
