-- What teachers ask of a whole exam stands in a few rows, however many sit it (spec.md W-5).

-- Counts by name, added up; a name whose count comes to nothing is left out.
CREATE FUNCTION reporting.added(one jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(key, n), '{}')
    FROM (SELECT key, sum(value::bigint) AS n
          FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) c
          GROUP BY key
          HAVING sum(value::bigint) <> 0) s
$$;

-- -- what monitoring saw over all attempts of an exam

-- Sums over reporting.attempt_activity, kept by triggers on it: an exam's are those of all its slots together. Whoever adds has a
-- slot to themselves, so that two turns of the fold never wait for one another.
CREATE TABLE reporting.exam_activity (
    exam_id            uuid NOT NULL,
    slot               smallint NOT NULL,
    attempts           bigint NOT NULL,
    events             bigint NOT NULL,
    violations         bigint NOT NULL,
    late_events        bigint NOT NULL,
    by_type            jsonb NOT NULL,
    by_severity        jsonb NOT NULL,
    covered            bigint NOT NULL,                 -- whose heartbeat_coverage is known
    heartbeat_coverage bigint NOT NULL,                 -- sum, millionths
    first_event_at     timestamptz,                     -- these three only ever move outward
    last_event_at      timestamptz,
    as_of              timestamptz,
    PRIMARY KEY (exam_id, slot)
) WITH (fillfactor = 50);
ALTER TABLE reporting.exam_activity ENABLE ROW LEVEL SECURITY;
CREATE POLICY system ON reporting.exam_activity TO veritas_core USING ((SELECT asker_view()) = 'system');
CREATE POLICY granted ON reporting.exam_activity TO veritas_pipeline, veritas_analyst USING (true);
CREATE POLICY asker ON reporting.exam_activity TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'organisation' THEN EXISTS (SELECT FROM organisation_exams o WHERE o.exam_id = exam_activity.exam_id)
               WHEN 'staff' THEN exam_id IN (SELECT * FROM reached_exam_ids())
           END);
GRANT SELECT ON reporting.exam_activity TO veritas_core, veritas_analyst;
GRANT SELECT, INSERT, UPDATE, DELETE ON reporting.exam_activity TO veritas_pipeline;

CREATE FUNCTION reporting.own_slot() RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    own smallint := pg_backend_pid() % 16;
BEGIN
    FOR slot IN 0..15 LOOP
        IF pg_try_advisory_xact_lock(1986359932, slot) THEN
            RETURN slot;
        END IF;
    END LOOP;
    PERFORM pg_advisory_xact_lock(1986359932, own);
    RETURN own;
END
$$;
COMMENT ON FUNCTION reporting.own_slot IS 'A slot that nobody else adds to until the transaction is over; waits only where all are taken.';

CREATE FUNCTION reporting.sum_activity() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sign bigint := TG_ARGV[0];
    own smallint;
BEGIN
    IF NOT EXISTS (SELECT FROM moved) THEN
        RETURN NULL;
    END IF;
    own := reporting.own_slot();
    WITH counted AS (
        SELECT exam_id, jsonb_object_agg(key, n) FILTER (WHERE kind = 'type') AS by_type,
               jsonb_object_agg(key, n) FILTER (WHERE kind = 'severity') AS by_severity
        FROM (SELECT m.exam_id, c.kind, c.key, sign * sum(c.value::bigint) AS n
              FROM moved m
              CROSS JOIN LATERAL (SELECT 'type' AS kind, t.* FROM jsonb_each_text(m.by_type) t
                                  UNION ALL SELECT 'severity', s.* FROM jsonb_each_text(m.by_severity) s) c
              GROUP BY m.exam_id, c.kind, c.key) k
        GROUP BY exam_id
    ), summed AS (
        SELECT exam_id, sign * count(*) AS attempts, sign * sum(events)::bigint AS events,
               sign * sum(violations)::bigint AS violations, sign * sum(late_events)::bigint AS late_events,
               sign * count(heartbeat_coverage) AS covered,
               sign * coalesce(sum(round(heartbeat_coverage * 1000000)::bigint), 0)::bigint AS heartbeat_coverage,
               min(first_event_at) FILTER (WHERE sign > 0) AS first_event_at,
               max(last_event_at) FILTER (WHERE sign > 0) AS last_event_at, max(as_of) FILTER (WHERE sign > 0) AS as_of
        FROM moved
        GROUP BY exam_id
    )
    INSERT INTO reporting.exam_activity AS e (exam_id, slot, attempts, events, violations, late_events, by_type, by_severity,
                                              covered, heartbeat_coverage, first_event_at, last_event_at, as_of)
    SELECT s.exam_id, own, s.attempts, s.events, s.violations, s.late_events, coalesce(c.by_type, '{}'),
           coalesce(c.by_severity, '{}'), s.covered, s.heartbeat_coverage, s.first_event_at, s.last_event_at, s.as_of
    FROM summed s
    LEFT JOIN counted c USING (exam_id)
    ON CONFLICT (exam_id, slot) DO UPDATE SET
        attempts = e.attempts + excluded.attempts, events = e.events + excluded.events,
        violations = e.violations + excluded.violations, late_events = e.late_events + excluded.late_events,
        by_type = reporting.added(e.by_type, excluded.by_type),
        by_severity = reporting.added(e.by_severity, excluded.by_severity), covered = e.covered + excluded.covered,
        heartbeat_coverage = e.heartbeat_coverage + excluded.heartbeat_coverage,
        first_event_at = least(e.first_event_at, excluded.first_event_at),
        last_event_at = greatest(e.last_event_at, excluded.last_event_at), as_of = greatest(e.as_of, excluded.as_of);
    IF TG_OP = 'DELETE' THEN
        DELETE FROM reporting.exam_activity e
        WHERE e.exam_id IN (SELECT exam_id FROM moved)
          AND NOT EXISTS (SELECT FROM reporting.attempt_activity a WHERE a.exam_id = e.exam_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER summed_again AFTER UPDATE ON reporting.attempt_activity
    REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION reporting.sum_activity('1');
UPDATE reporting.attempt_activity SET as_of = as_of;    -- what is there already, once
CREATE TRIGGER summed AFTER INSERT ON reporting.attempt_activity
    REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION reporting.sum_activity('1');
CREATE TRIGGER summed_before AFTER UPDATE ON reporting.attempt_activity
    REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION reporting.sum_activity('-1');
CREATE TRIGGER summed_no_more AFTER DELETE ON reporting.attempt_activity
    REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION reporting.sum_activity('-1');

-- The longest silence is no sum. It seldom changes, and rows are changed in place where it does not.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX attempt_activity_silence ON reporting.attempt_activity (exam_id, longest_silence_s DESC NULLS LAST);

-- -- how many attempts an exam has: counted as they are, by indexes alone

-- Few are abandoned; who has begun and who is at work have indexes already, and all others have completed.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX exam_attempts_abandoned ON exam_attempts (exam_id, student_id) WHERE status = 'abandoned';

-- -- what is thought of an exam's attempts: how many of each risk level and band of integrity, how many ask for somebody

ALTER TABLE reporting.exam_parts ADD COLUMN judgements text[] NOT NULL DEFAULT '{}';
ALTER TABLE reporting.exam_sums ADD COLUMN judgements jsonb NOT NULL DEFAULT '{}';
ALTER TABLE reporting.exam_performance_summary
    ADD COLUMN risk_levels jsonb,                       -- {"Low": 3, "Medium": 0, "High": 1, "Critical": 0}
    ADD COLUMN integrity_bands jsonb,
    ADD COLUMN flagged_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN alerting_count bigint NOT NULL DEFAULT 0;

-- -- whose answers are alike

-- How many pairs of each form were compared stands in any row of it.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX answer_similarity_form ON reporting.answer_similarity (exam_id, form_id);
