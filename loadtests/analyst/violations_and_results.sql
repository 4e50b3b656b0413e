-- Of each exam: its results beside how its candidates were seen to work.
SELECT e.title, e.total_attempts, round(e.avg_score, 1) AS avg_score, round(e.pass_rate, 3) AS pass_rate,
       round(avg(a.violations), 2) AS violations, round(corr(s.percentage, a.violations), 3) AS score_by_violations
FROM catalogue.exam_performance_summary e
JOIN catalogue.submissions s USING (exam_id)
JOIN catalogue.attempt_activity a USING (attempt_id)
GROUP BY ALL
ORDER BY violations DESC, e.title
