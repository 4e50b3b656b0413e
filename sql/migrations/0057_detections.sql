-- Detectors (spec.md V-4): which photographs and videos the face detector has still to look at, and what it made of each. What it
-- says of a session goes into the stream as events; nothing here is anybody's score.

-- What is due. A row goes when its piece has been looked at.
CREATE TABLE detector_claims (
    evidence_id bigint PRIMARY KEY REFERENCES evidence ON DELETE CASCADE,
    due_at      timestamptz NOT NULL,                   -- in the future: somebody is at it, until then at the longest
    tries       integer NOT NULL DEFAULT 0              -- that were begun
);
CREATE INDEX detector_claims_due ON detector_claims (due_at);
COMMENT ON TABLE detector_claims IS 'Photographs and videos that the face detector is to look at; they wait where it is not installed.';

CREATE TABLE detections (
    evidence_id bigint PRIMARY KEY REFERENCES evidence ON DELETE CASCADE,
    session_id  bigint NOT NULL REFERENCES proctor_sessions,
    model       text NOT NULL,                          -- with its version
    is_exempt   boolean NOT NULL,                       -- it was not looked at: its candidate is exempt
    has_seen    boolean NOT NULL,                       -- a face
    frames      integer NOT NULL CHECK (frames >= 0),   -- that were looked at
    events      integer NOT NULL CHECK (events >= 0),   -- that say what was found
    looked_at   timestamptz NOT NULL
);
CREATE INDEX detections_session ON detections (session_id) WHERE has_seen;
COMMENT ON TABLE detections IS 'Which photographs and videos the face detector has looked at, each once.';

GRANT SELECT, UPDATE (due_at, tries), DELETE ON detector_claims TO veritas_pipeline;
GRANT SELECT, INSERT ON detections TO veritas_pipeline;

-- What the detector has found is said by the stream as an event of ours.
GRANT INSERT ON session_notices TO veritas_pipeline;
CREATE POLICY detected ON session_notices FOR INSERT TO veritas_pipeline WITH CHECK (event_name = 'face_detection');

-- A photograph or video of a session is due from when it is closed, whoever closes it.
CREATE FUNCTION let_detector_look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO detector_claims (evidence_id, due_at) VALUES (NEW.id, NEW.closed_at);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION let_detector_look FROM PUBLIC;
CREATE TRIGGER looked_at AFTER UPDATE OF status ON evidence FOR EACH ROW
    WHEN (OLD.status = 1 AND NEW.status IN (2, 3) AND NEW.type IN (1, 3) AND NEW.session_id IS NOT NULL)
    EXECUTE FUNCTION let_detector_look();
