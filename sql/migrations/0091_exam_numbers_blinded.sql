-- Blind double review, an exam's numbers (spec.md C-2): of few attempts, or of the last one that waits, they tell its own.

-- While the asker is still to review a session of the exam, its summary is not there for them,
CREATE POLICY blinded ON reporting.exam_performance_summary AS RESTRICTIVE FOR SELECT TO veritas_core
    USING (CASE (SELECT asker_view())
               WHEN 'system' THEN true
               ELSE NOT EXISTS (SELECT FROM blinded_sessions b WHERE b.exam_id = exam_performance_summary.exam_id)
           END);

-- but for what says nothing of how candidates behaved: how many there are, and how they did. In its owner's name.
CREATE VIEW shown_exam_performance AS
SELECT p.exam_id, p.unique_students, p.total_attempts, p.scored_attempts, p.avg_score, p.pass_rate,
       CASE WHEN b.is_blinded THEN NULL ELSE p.avg_integrity END AS avg_integrity,
       CASE WHEN b.is_blinded THEN NULL ELSE p.high_risk_count END AS high_risk_count,
       CASE WHEN b.is_blinded THEN NULL ELSE p.copy_count END AS copy_count,
       CASE WHEN b.is_blinded THEN NULL ELSE p.incapable_count END AS incapable_count,
       CASE WHEN b.is_blinded THEN NULL ELSE p.no_interest_count END AS no_interest_count,
       CASE WHEN b.is_blinded THEN NULL ELSE p.risk_levels END AS risk_levels,
       CASE WHEN b.is_blinded THEN NULL ELSE p.integrity_bands END AS integrity_bands,
       CASE WHEN b.is_blinded THEN NULL ELSE p.flagged_count END AS flagged_count,
       CASE WHEN b.is_blinded THEN NULL ELSE p.alerting_count END AS alerting_count,
       p.last_attempt, p.metric_version, p.coverage, CASE WHEN b.is_blinded THEN '[]' ELSE p.reasons END AS reasons, p.as_of
FROM reporting.exam_performance_summary p
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM blinded_sessions b WHERE b.exam_id = p.exam_id) AS is_blinded) b
WHERE CASE (SELECT asker_view())
          WHEN 'system' THEN true
          WHEN 'organisation' THEN p.organisation_id = (SELECT asker_organisation())
          WHEN 'staff' THEN p.exam_id IN (SELECT * FROM reached_exam_ids())
      END;
GRANT SELECT ON shown_exam_performance TO veritas_core;
