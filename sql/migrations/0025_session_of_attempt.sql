-- A proctor session belongs to its attempt: it is opened with it, waits for its client, and ends with it (spec.md, decision 8).

ALTER TABLE proctor_sessions ADD COLUMN taken_up_at timestamptz;     -- null while no client has named itself
UPDATE proctor_sessions SET taken_up_at = started_at
WHERE ip_address IS NOT NULL OR user_agent IS NOT NULL OR browser_name IS NOT NULL OR device_fingerprint IS NOT NULL;

-- Attempts that run without the session that their policy demands get it now: what was before is no gap of theirs.
INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)
SELECT a.id, a.exam_id, a.student_id, e.organisation_id, demanded.mode, now()
FROM exam_attempts a
JOIN exams e ON e.id = a.exam_id
CROSS JOIN LATERAL (
    SELECT coalesce((a.policy ->> 'monitoring_mode')::smallint, CASE WHEN e.enable_monitoring THEN 1 ELSE 0 END) AS mode
) demanded
WHERE a.status = 'in_progress' AND a.expires_at > now() AND demanded.mode > 0
  AND NOT EXISTS (SELECT FROM proctor_sessions s WHERE s.attempt_id = a.id);

-- What the core API has noted about a session and the stream must say as an event of ours. One a minute and name.
CREATE TABLE session_notices (
    session_id  bigint NOT NULL REFERENCES proctor_sessions ON DELETE CASCADE,
    event_name  text NOT NULL CHECK (event_name ~ '^[a-z][a-z0-9_]{0,63}$'),
    minute      bigint NOT NULL,                        -- of noted_at, since 1970
    severity    smallint NOT NULL CHECK (severity BETWEEN 0 AND 5),
    noted_at    timestamptz NOT NULL,
    appended_at timestamptz,                            -- null until it stands in the stream
    PRIMARY KEY (session_id, event_name, minute)
);
CREATE INDEX session_notices_waiting ON session_notices (noted_at) WHERE appended_at IS NULL;
ALTER TABLE session_notices ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON session_notices TO veritas_ingest USING (true);
CREATE POLICY asker ON session_notices FOR INSERT TO veritas_core
    WITH CHECK (EXISTS (SELECT FROM seen_sessions s WHERE s.id = session_id));
GRANT INSERT ON session_notices TO veritas_core;

-- A client may ask for more than its policy demands, for a session that waits for it: never for less, never of another's.
CREATE FUNCTION make_session_stricter(session bigint, asked smallint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE proctor_sessions SET mode = asked
    WHERE id = session AND candidate_id = asker() AND status = 1 AND taken_up_at IS NULL AND mode < asked
$$;
REVOKE ALL ON FUNCTION make_session_stricter FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_session_stricter TO veritas_core;
GRANT SELECT, UPDATE (appended_at) ON session_notices TO veritas_ingest;
