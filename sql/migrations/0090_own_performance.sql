-- How a candidate does over all their results, as they see it themselves (V, GET /student/dashboard): what follows from results,
-- and nothing that was thought of their behaviour (spec.md, decision 6). With its owner's rights, as own_attempts.
CREATE VIEW own_performance AS
SELECT student_id, subject_scores, strengths, weaknesses, improvement_trend, as_of
FROM reporting.performance_metrics
WHERE student_id = (SELECT asker()) AND (SELECT asker_view()) = 'candidate' AND (SELECT asker_exam()) IS NULL;
GRANT SELECT ON own_performance TO veritas_core;
COMMENT ON VIEW own_performance IS 'What candidates see of their own reporting.performance_metrics.';
