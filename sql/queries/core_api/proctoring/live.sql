-- An exam while it runs: its active sessions, and what it comes to. The caller has checked that the exam is visible.

-- name: list_live
-- In the order of their ids. `online_since`: whose last heartbeat is not older is online.
SELECT s.*
FROM live_sessions s
WHERE s.exam_id = :exam_id AND s.status = :status
  AND (:level::text IS NULL OR s.risk_level = :level) AND (:q::text IS NULL OR strpos(folded(s.candidate_name), folded(:q)) > 0)
  AND (:online::boolean IS NULL OR (s.status = 1 AND coalesce(s.last_heartbeat_at >= :online_since, false)) = :online)
  AND (:cursor::bigint IS NULL OR s.id > :cursor)
ORDER BY s.id
LIMIT :limit;

-- name: list_live_sorted
-- Ties, and sessions without the key, follow in the order of their ids, so that pages do not overlap.
SELECT s.*
FROM live_sessions s
CROSS JOIN LATERAL (
    SELECT CASE :sort::text
        WHEN 'riskScore' THEN s.risk_score::float8
        WHEN 'peakRiskScore' THEN s.peak_risk_score::float8
        WHEN 'totalViolations' THEN s.total_violations::float8
        WHEN 'lastHeartbeatAt' THEN extract(epoch FROM s.last_heartbeat_at)::float8
    END AS value
) sort
WHERE s.exam_id = :exam_id AND s.status = :status
  AND (:level::text IS NULL OR s.risk_level = :level) AND (:q::text IS NULL OR strpos(folded(s.candidate_name), folded(:q)) > 0)
  AND (:online::boolean IS NULL OR (s.status = 1 AND coalesce(s.last_heartbeat_at >= :online_since, false)) = :online)
ORDER BY CASE WHEN :descending THEN -sort.value ELSE sort.value END NULLS LAST,
         CASE WHEN :sort = 'candidateName' THEN folded(s.candidate_name) END, s.id
OFFSET :offset
LIMIT :limit;

-- name: count_dashboard
-- $1 exam_id uuid. A row for each state and level of the peak score; null: not scored yet.
SELECT s.status, s.risk_level, count(*) AS sessions, sum(s.peak_risk_score)::float8 AS peaks
FROM live_sessions s
WHERE s.exam_id = $1
GROUP BY 1, 2;

-- name: count_live
SELECT count(*)
FROM live_sessions s
WHERE s.exam_id = :exam_id AND s.status = :status
  AND (:level::text IS NULL OR s.risk_level = :level) AND (:q::text IS NULL OR strpos(folded(s.candidate_name), folded(:q)) > 0)
  AND (:online::boolean IS NULL OR (s.status = 1 AND coalesce(s.last_heartbeat_at >= :online_since, false)) = :online);

-- name: list_top_violations
-- $1 exam_id uuid, $2 how many. Of what monitors report, without signs of life and telemetry.
SELECT t.key AS type, sum(t.value::bigint)::bigint AS events
FROM reporting.attempt_activity a
CROSS JOIN LATERAL jsonb_each_text(a.by_type) t
WHERE a.exam_id = $1
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT $2;
