-- What analysis says of events (spec.md I-7; V, monitoring_events): an event's score is its cell's (pipeline/features/event_norms.py),
-- so that nobody's events are written again because another candidate came. warehouse/datasets/ says what each column means.

CREATE TABLE reporting.session_cells (
    session_id      bigint PRIMARY KEY,
    attempt_id      uuid NOT NULL,
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    mode            smallint NOT NULL,
    is_upheld       boolean NOT NULL,
    minutes         bigint NOT NULL,
    cells           integer[] NOT NULL,
    counts          integer[] NOT NULL,
    mild            integer[] NOT NULL,
    of_events       integer[] NOT NULL,
    severe          integer[] NOT NULL,
    scored          bigint NOT NULL
);
CREATE INDEX session_cells_attempt ON reporting.session_cells (attempt_id);
CREATE INDEX session_cells_exam ON reporting.session_cells (exam_id, attempt_id);

CREATE TABLE reporting.event_norms (
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    mode            smallint NOT NULL,
    cells           integer[] NOT NULL,
    comparable      bigint[] NOT NULL,
    scores          double precision[] NOT NULL,
    scores_outside  double precision[] NOT NULL,
    texts           text[] NOT NULL,
    metric_version  text NOT NULL,
    PRIMARY KEY (exam_id, mode)
) WITH (fillfactor = 50);

-- What norms are made of: sums over an exam's sessions, packed, and what each session has put in, so that it can be taken out as
-- exactly. Both are written by an exam's turn alone.
CREATE TABLE reporting.exam_calibrations (
    exam_id uuid PRIMARY KEY,
    version text NOT NULL,                              -- of what is packed; another one is counted anew
    state   bytea NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE reporting.exam_calibrations ALTER COLUMN state SET STORAGE EXTERNAL;    -- compressed already

CREATE TABLE reporting.calibration_shares (
    session_id      bigint PRIMARY KEY,
    attempt_id      uuid NOT NULL,
    exam_id         uuid NOT NULL,
    organisation_id uuid NOT NULL,
    mode            smallint NOT NULL,
    is_upheld       boolean NOT NULL,
    minutes         bigint NOT NULL,
    cells           integer[] NOT NULL,
    counts          integer[] NOT NULL,
    put_by          xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX calibration_shares_attempt ON reporting.calibration_shares (exam_id, attempt_id);
CREATE INDEX calibration_shares_put ON reporting.calibration_shares (exam_id, put_by);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON reporting.session_cells, reporting.event_norms, reporting.exam_calibrations,
    reporting.calibration_shares TO veritas_pipeline;

-- Attempts with events whose verdict is another are counted again. So are those that the turn has just put in and that are, or were
-- counted to be, out of the ordinary: they were counted by the norms of before.
CREATE FUNCTION reporting.verdicts(cells integer[], scores double precision[], scores_outside double precision[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(2 * cell::bigint + place)
    FROM unnest(cells, scores, scores_outside) t (cell, score, outside)
    CROSS JOIN LATERAL (VALUES (0, score), (1, outside)) v (place, value)
    WHERE value >= 0.99
$$;
CREATE FUNCTION reporting.mark_anomalous() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint[] := CASE TG_OP WHEN 'UPDATE' THEN reporting.verdicts(OLD.cells, OLD.scores, OLD.scores_outside) END;
    after bigint[] := reporting.verdicts(NEW.cells, NEW.scores, NEW.scores_outside);
    turned integer[] := ARRAY(SELECT v / 2 FROM unnest(before || after) w (v) GROUP BY v HAVING count(*) = 1);
    strange integer[] := ARRAY(SELECT v / 2 FROM unnest(after) w (v));
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'attempt', attempt_id, attempt_id, exam_id FROM reporting.session_cells
    WHERE exam_id = NEW.exam_id AND mode = NEW.mode AND cells && turned
    UNION
    SELECT 'attempt', attempt_id, attempt_id, exam_id FROM reporting.calibration_shares s
    WHERE exam_id = NEW.exam_id AND put_by = pg_current_xact_id()
      AND (cells && strange OR EXISTS (SELECT FROM reporting.behavior_analysis b WHERE b.attempt_id = s.attempt_id AND anomaly_count > 0));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION reporting.mark_anomalous IS 'Marks the attempts whose anomalies are to be counted again.';
CREATE TRIGGER mark_anomalous AFTER INSERT OR UPDATE ON reporting.event_norms
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_anomalous();

-- Beside the events, keyed by session and sequence, what nobody ever wrote into a table. Of attempts that are over.
-- squawk-ignore ban-drop-view
DROP VIEW seen_monitoring_events;
-- squawk-ignore ban-drop-view
DROP VIEW monitoring_events;
-- squawk-ignore ban-drop-table
DROP TABLE event_analysis;
CREATE VIEW event_analysis AS
SELECT s.session_id, e.seq::integer AS seq, n.score >= 0.99 OR e.seq = ANY (s.severe) AS is_anomaly, n.score AS anomaly_score,
       n.description, format('Compared with %s events of its kind in this exam.', n.comparable) AS analysis_notes, n.metric_version
FROM reporting.session_cells s
CROSS JOIN LATERAL unnest(s.of_events) WITH ORDINALITY e (cell, seq)
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.is_upheld THEN n.scores_outside[at] ELSE n.scores[at] END AS score, n.texts[at] AS description,
           n.comparable[at] AS comparable, n.metric_version
    FROM reporting.event_norms n
    CROSS JOIN LATERAL array_position(n.cells, e.cell) at
    WHERE n.exam_id = s.exam_id AND n.mode = s.mode AND at IS NOT NULL
) n;
COMMENT ON VIEW event_analysis IS 'What analysis says of each event of an attempt that is over (spec.md I-7).';

-- The name and the columns of veritas-architecture.txt, as before.
CREATE VIEW monitoring_events AS
SELECT (e.session_id << 22) | e.seq AS id, s.attempt_id AS exam_attempt_id, s.candidate_id AS student_id,
       e.session_id AS proctor_session_id, e.seq AS sequence_number, e.event_type, e.event_name, e.severity,
       e.is_violation, e.is_late, e.payload AS data_payload, a.is_anomaly, a.anomaly_score, a.description, a.analysis_notes,
       e.client_at AS client_timestamp, e.occurred_at AS server_timestamp, coalesce(e.effective_at, e.occurred_at) AS effective_at
FROM events e
JOIN proctor_sessions s ON s.id = e.session_id
LEFT JOIN event_analysis a ON a.session_id = e.session_id AND a.seq = e.seq;
-- As before (0079_blinded.sql), and nothing for candidates: what analysis thinks of their events is not for them.
CREATE VIEW seen_monitoring_events AS
SELECT m.id, m.exam_attempt_id, m.student_id, m.proctor_session_id, m.sequence_number, m.event_type, m.event_name, m.severity,
       m.is_violation, m.is_late, m.data_payload,
       CASE WHEN b.session_id IS NULL THEN m.is_anomaly END AS is_anomaly,
       CASE WHEN b.session_id IS NULL THEN m.anomaly_score END AS anomaly_score,
       CASE WHEN b.session_id IS NULL THEN m.description END AS description,
       CASE WHEN b.session_id IS NULL THEN m.analysis_notes END AS analysis_notes,
       m.client_timestamp, m.server_timestamp, m.effective_at
FROM monitoring_events m
JOIN seen_sessions s ON s.id = m.proctor_session_id
LEFT JOIN blinded_sessions b ON b.session_id = s.id
WHERE (SELECT asker_view()) IN ('system', 'organisation', 'staff');
GRANT SELECT ON seen_monitoring_events TO veritas_core;
