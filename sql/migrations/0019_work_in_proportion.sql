-- What runs every few seconds looks at what is new, never at everything there is.

-- A row per session touched by a batch, written with it and deleted by the plan of the archive's next batch, which takes in
-- all that were committed when it looked. A queue that is always read whole, hence without an index.
CREATE TABLE unarchived_sessions (
    session_id bigint NOT NULL
) WITH (autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0);
GRANT INSERT ON unarchived_sessions TO veritas_ingest;
GRANT SELECT, DELETE ON unarchived_sessions TO veritas_pipeline;

INSERT INTO unarchived_sessions (session_id)
SELECT p.session_id
FROM session_progress p
LEFT JOIN reporting.archived_sessions a USING (session_id)
WHERE p.through_seq > coalesce(a.through_seq, 0);

-- A job of the pipeline that fails, and since when: the scheduler leaves it alone until `retry_at`, readiness and doctor say
-- why. The row goes with the job's next success.
CREATE TABLE reporting.failing_jobs (
    job           text PRIMARY KEY,
    failing_since timestamptz NOT NULL DEFAULT now(),
    failures      integer NOT NULL DEFAULT 1,
    reason        text NOT NULL,
    retry_at      timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.failing_jobs TO veritas_pipeline;
