-- Blind double review, the numbers (spec.md C-2): whoever is still to review a session weighs what happened, and sees nothing of
-- what was made of it: no score, no level, no rule that it met, nothing that was computed from these, and not its place among
-- others. Events, silences, evidence, findings and what proctors did while the exam ran are what there is to weigh.

-- Sessions that wait for one of two reviews which know nothing of one another: the one place that says which they are. A session
-- that somebody had decided on before its exam asked for two reviews goes on as it began.
CREATE VIEW reviewed_blind AS
SELECT q.session_id, q.attempt_id, q.exam_id, q.candidate_id, q.organisation_id, q.reviewed_by
FROM pending_reviews q
WHERE CASE cardinality(q.reviewed_by)
          WHEN 0 THEN EXISTS (SELECT FROM exams e WHERE e.id = q.exam_id AND e.double_review)
                      AND NOT EXISTS (SELECT FROM proctor_decisions d WHERE d.session_id = q.session_id)
          WHEN 1 THEN true
          ELSE false
      END;

-- Those of them whose numbers the asker does not see: all but the one that they have reviewed, whoever they are; who may review it
-- is a grant away from who may not. The system tells many people at once (the live streams): all of them.
CREATE VIEW blinded_sessions AS
SELECT b.session_id, b.attempt_id, b.exam_id, b.candidate_id
FROM reviewed_blind b
WHERE CASE (SELECT asker_view())
          WHEN 'system' THEN true
          WHEN 'organisation' THEN b.organisation_id = (SELECT asker_organisation()) AND (SELECT asker()) <> ALL (b.reviewed_by)
          WHEN 'staff' THEN b.exam_id IN (SELECT * FROM reached_exam_ids()) AND (SELECT asker()) <> ALL (b.reviewed_by)
      END;
-- An attempt may have two sessions: what is thought of it, or of its candidate, rests on both.
CREATE VIEW blinded_attempts AS
SELECT s.attempt_id, s.candidate_id FROM proctor_sessions s JOIN blinded_sessions b ON b.session_id = s.id;
GRANT SELECT ON blinded_sessions, blinded_attempts TO veritas_core;

-- -- the wall

DO $$
DECLARE
    guarded text;
    blinded text;
BEGIN
    FOR guarded, blinded IN VALUES
        ('risk_snapshots', 'blinded_sessions b WHERE b.session_id = risk_snapshots.session_id'),
        ('reporting.session_risk', 'blinded_sessions b WHERE b.session_id = session_risk.session_id'),
        ('reporting.session_rule_fires', 'blinded_sessions b WHERE b.session_id = session_rule_fires.session_id'),
        ('reporting.behavior_analysis', 'blinded_attempts b WHERE b.attempt_id = behavior_analysis.attempt_id'),
        ('alert_acknowledgements', 'blinded_attempts b WHERE b.attempt_id = alert_acknowledgements.attempt_id'),
        ('reporting.performance_metrics', 'blinded_attempts b WHERE b.candidate_id = performance_metrics.student_id'),
        ('reporting.student_risk_summary', 'blinded_attempts b WHERE b.candidate_id = student_risk_summary.student_id')
    LOOP
        EXECUTE format('CREATE POLICY blinded ON %s AS RESTRICTIVE FOR SELECT TO veritas_core USING (CASE (SELECT asker_view())'
                       ' WHEN ''system'' THEN true ELSE NOT EXISTS (SELECT FROM %s) END)', guarded, blinded);
    END LOOP;
END
$$;

-- As before, and the risk is not there for whoever is still to review the session. Written as CASE, which is asked of each row:
-- joined, it would be planned as if it were of all sessions that there are.
CREATE OR REPLACE VIEW session_overview WITH (security_invoker = false) AS
SELECT s.id, s.attempt_id, s.exam_id, e.title AS exam_title, s.candidate_id, u.full_name AS candidate_name,
       s.organisation_id, s.mode, s.status, s.started_at, s.ended_at, s.ip_address, s.browser_name, s.heartbeat_missed_count,
       coalesce(p.total_events, 0) AS total_events, coalesce(p.total_violations, 0) AS total_violations,
       coalesce(p.through_seq, 0) AS stored_through, p.first_event_at, p.last_event_at, p.last_heartbeat_at, p.clock_offset_us,
       (SELECT max(q.ends_at) FROM session_quarantines q WHERE q.session_id = s.id) AS quarantined_until,
       r.risk_score::float8 AS risk_score, r.peak_risk_score::float8 AS peak_risk_score, r.risk_level
FROM seen_sessions s
JOIN exams e ON e.id = s.exam_id
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN reporting.session_risk r ON r.session_id = s.id
    AND CASE WHEN (SELECT asker_view()) IN ('staff', 'organisation', 'system')
             THEN NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = r.session_id) END;
CREATE OR REPLACE VIEW live_sessions AS
SELECT s.id, s.attempt_id, s.exam_id, s.organisation_id, u.full_name AS candidate_name, s.status, s.started_at,
       coalesce(p.total_violations, 0) AS total_violations, p.last_heartbeat_at, p.last_other_seq, p.last_other_type,
       p.last_other_name, p.last_other_at, r.risk_score::float8 AS risk_score, r.peak_risk_score::float8 AS peak_risk_score,
       r.risk_level
FROM seen_sessions s
JOIN users u ON u.id = s.candidate_id
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN reporting.session_risk r ON r.session_id = s.id
    AND CASE WHEN s.status = 1 THEN true
             ELSE NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = r.session_id) END
WHERE (SELECT asker_view()) IN ('staff', 'organisation', 'system');

-- As before, without what analysis thinks of an event.
CREATE OR REPLACE VIEW seen_monitoring_events AS
SELECT m.id, m.exam_attempt_id, m.student_id, m.proctor_session_id, m.sequence_number, m.event_type, m.event_name, m.severity,
       m.is_violation, m.is_late, m.data_payload,
       CASE WHEN b.session_id IS NULL THEN m.is_anomaly END AS is_anomaly,
       CASE WHEN b.session_id IS NULL THEN m.anomaly_score END AS anomaly_score,
       CASE WHEN b.session_id IS NULL THEN m.description END AS description,
       CASE WHEN b.session_id IS NULL THEN m.analysis_notes END AS analysis_notes,
       m.client_timestamp, m.server_timestamp, m.effective_at
FROM monitoring_events m
JOIN seen_sessions s ON s.id = m.proctor_session_id
LEFT JOIN blinded_sessions b ON b.session_id = s.id;

-- As before, in its owner's name, and so it says itself what the wall says.
CREATE OR REPLACE FUNCTION fired_rules(sessions bigint[])
    RETURNS TABLE (session_id bigint, rule_id bigint, name_en text, name_ar text, triggers integer, upheld bigint, cleared bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH fired AS (
        SELECT f.session_id, f.rule_id, f.version, f.triggers
        FROM reporting.session_rule_fires f
        WHERE f.session_id = ANY (sessions) AND f.organisation_id = asker_organisation()
          AND asker_view() IN ('staff', 'organisation') AND EXISTS (SELECT FROM seen_sessions s WHERE s.id = f.session_id)
          AND NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = f.session_id)
    ), standing AS (
        SELECT f.rule_id, count(*) FILTER (WHERE d.status IN (3, 4)) AS upheld, count(*) FILTER (WHERE d.status = 2) AS cleared
        FROM reporting.session_rule_fires f
        JOIN proctor_decisions d ON d.session_id = f.session_id AND d.is_finalized
        WHERE f.rule_id IN (SELECT x.rule_id FROM fired x)
        GROUP BY f.rule_id
    )
    SELECT f.session_id, f.rule_id, v.name_en, v.name_ar, f.triggers, coalesce(s.upheld, 0), coalesce(s.cleared, 0)
    FROM fired f
    JOIN risk_rule_versions v ON v.rule_id = f.rule_id AND v.version = f.version
    LEFT JOIN standing s ON s.rule_id = f.rule_id
$$;

-- -- the queue: what is reviewed blind has no place among the scores, or a page's end, and its neighbours, would tell its own

-- Blind ones come first, the oldest before the others: they need two people, one after the other.
COMMENT ON COLUMN pending_reviews.rank IS 'The peak of its score; -1: not scored; 101: reviewed blind, whatever the score.';
CREATE VIEW review_ranks AS
SELECT q.session_id, CASE WHEN b.session_id IS NOT NULL THEN 101 ELSE coalesce(r.peak_risk_score, -1)::double precision END AS rank
FROM pending_reviews q
LEFT JOIN reviewed_blind b ON b.session_id = q.session_id
LEFT JOIN reporting.session_risk r ON r.session_id = q.session_id;

CREATE OR REPLACE FUNCTION await_review(of_attempt uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    come bigint[];
BEGIN
    WITH awaited AS (
        INSERT INTO pending_reviews (session_id, attempt_id, exam_id, candidate_id, organisation_id, ended_at, rank)
        SELECT s.id, s.attempt_id, s.exam_id, s.candidate_id, s.organisation_id, s.ended_at, coalesce(r.peak_risk_score, -1)
        FROM proctor_sessions s
        JOIN exam_attempts a ON a.id = s.attempt_id AND a.status <> 'in_progress'
        LEFT JOIN reporting.session_risk r ON r.session_id = s.id
        WHERE s.attempt_id = of_attempt AND s.status = 2
          AND NOT EXISTS (SELECT FROM proctor_decisions d WHERE d.session_id = s.id AND d.is_finalized)
        ON CONFLICT DO NOTHING
        RETURNING session_id
    )
    SELECT array_agg(session_id) INTO come FROM awaited;
    IF come IS NOT NULL THEN
        UPDATE pending_reviews p SET rank = n.rank
        FROM review_ranks n
        WHERE p.session_id = ANY (come) AND n.session_id = p.session_id AND p.rank <> n.rank;
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION rank_reviews() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE pending_reviews p SET rank = n.rank
    FROM changed c JOIN review_ranks n USING (session_id)
    WHERE p.session_id = c.session_id AND p.rank <> n.rank;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION note_review() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE pending_reviews SET reviewed_by = array_append(reviewed_by, NEW.reviewed_by) WHERE session_id = NEW.session_id;
    UPDATE pending_reviews p SET rank = n.rank
    FROM review_ranks n
    WHERE p.session_id = NEW.session_id AND n.session_id = p.session_id AND p.rank <> n.rank;
    RETURN NULL;
END
$$;
CREATE FUNCTION rank_reviews_of_exam() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE pending_reviews p SET rank = n.rank
    FROM review_ranks n
    WHERE p.exam_id = NEW.id AND n.session_id = p.session_id AND p.rank <> n.rank;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION rank_reviews_of_exam FROM PUBLIC;
CREATE TRIGGER ranked AFTER UPDATE OF double_review ON exams FOR EACH ROW
    WHEN (OLD.double_review IS DISTINCT FROM NEW.double_review) EXECUTE FUNCTION rank_reviews_of_exam();

UPDATE pending_reviews p SET rank = n.rank FROM review_ranks n WHERE n.session_id = p.session_id AND p.rank <> n.rank;
