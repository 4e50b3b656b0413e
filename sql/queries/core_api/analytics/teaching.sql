-- What a teacher sees of all their exams at once: those whose analytics they may see.

-- name: list_taught
-- The newest first. What was projected is null of an exam of which nothing counts yet; who is at work is counted as it is now.
SELECT e.id AS exam_id, e.title, e.subject, e.topic, e.is_published, e.published_at,
       (SELECT count(*) FROM exam_attempts a WHERE a.exam_id = e.id AND a.status = 'in_progress') AS in_progress,
       coalesce(p.unique_students, 0) AS students, coalesce(p.total_attempts, 0) AS submissions,
       coalesce(p.total_attempts - p.scored_attempts, 0) AS ungraded, p.avg_score, p.pass_rate, p.avg_integrity, p.high_risk_count,
       CASE WHEN p.exam_id IS NULL THEN 0 ELSE p.flagged_count END AS flagged_count,
       CASE WHEN p.exam_id IS NULL THEN 0 ELSE p.alerting_count END AS alerting_count, p.last_attempt, p.as_of
FROM exams e
LEFT JOIN shown_exam_performance p ON p.exam_id = e.id
WHERE ((SELECT asker_view()) = 'organisation' OR e.id IN (SELECT * FROM analysed_exam_ids()))
  AND e.archived_at IS NULL AND (:cursor::uuid IS NULL OR e.id < :cursor)
ORDER BY e.id DESC
LIMIT :limit;

-- name: count_attention
-- $1 most that is counted. Alerts that nobody has looked at, and sessions that wait for somebody who may decide.
SELECT (SELECT count(*) FROM (
            SELECT FROM reporting.behavior_analysis b
            LEFT JOIN alert_acknowledgements k ON k.attempt_id = b.attempt_id
            WHERE b.alert_rank IS NOT NULL AND b.exam_id = ANY (ARRAY(SELECT * FROM analysed_exam_ids()))
              AND NOT coalesce(k.codes @> ARRAY(SELECT a ->> 'code' FROM jsonb_array_elements(b.alerts) a), false)
            LIMIT $1) a) AS alerts,
       (SELECT count(*) FROM (
            SELECT FROM pending_reviews p
            WHERE (SELECT asker_view()) = 'organisation' OR p.exam_id IN (SELECT * FROM judged_exam_ids())
            LIMIT $1) r) AS reviews;
