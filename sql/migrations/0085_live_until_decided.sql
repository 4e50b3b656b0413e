-- Live streams, once more (spec.md C-2): what two have reviewed comes with its numbers once it is decided. Before, numbers that
-- come back would tell whoever has reviewed it that the other has as well, and found something else.
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
             WHEN (SELECT asker_view()) = 'system' AND EXISTS (SELECT FROM blind_reviews b WHERE b.session_id = r.session_id)
             THEN EXISTS (SELECT FROM proctor_decisions d WHERE d.session_id = r.session_id AND d.is_finalized)
             ELSE NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.session_id = r.session_id) END
WHERE (SELECT asker_view()) IN ('staff', 'organisation', 'system');
