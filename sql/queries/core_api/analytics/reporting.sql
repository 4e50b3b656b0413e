-- An exam in numbers, out of its attempts and of reporting.*.

-- name: plan_once
-- To the end of the transaction: what finds rows by a key, or in an index's order, is planned once a connection, for any of them.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true);

-- name: count_attempts
-- $1 exam_id uuid. As they are now: who is neither at work nor has given up has completed.
SELECT total, students, in_progress, total - in_progress - abandoned AS completed, abandoned, void FROM counted_attempts($1);

-- name: sum_activity
-- $1 exam_id uuid. Of the slots that an exam's sums are in.
SELECT coalesce(sum(attempts), 0)::bigint AS attempts_monitored, coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(violations), 0)::bigint AS violations, coalesce(sum(late_events), 0)::bigint AS late_events,
       min(first_event_at) AS first_event_at, max(last_event_at) AS last_event_at,
       (SELECT longest_silence_s FROM reporting.attempt_activity WHERE exam_id = $1
        ORDER BY longest_silence_s DESC NULLS LAST LIMIT 1) AS longest_silence_s,
       (sum(heartbeat_coverage) / nullif(sum(covered), 0) / 1000000)::float8 AS heartbeat_coverage, max(as_of) AS as_of
FROM reporting.exam_activity
WHERE exam_id = $1;

-- name: sum_activity_counts
-- $1 exam_id uuid. One row per event type name (kind `type`) and per severity number (kind `severity`).
SELECT counted.kind, counted.key, sum(counted.value::bigint)::bigint AS events
FROM reporting.exam_activity a
CROSS JOIN LATERAL (
    SELECT 'type' AS kind, key, value FROM jsonb_each_text(a.by_type)
    UNION ALL
    SELECT 'severity', key, value FROM jsonb_each_text(a.by_severity)
) counted
WHERE a.exam_id = $1
GROUP BY 1, 2
HAVING sum(counted.value::bigint) <> 0
ORDER BY 1, 3 DESC, 2;

-- name: fetch_performance
-- $1 exam_id uuid. No row before the first projection.
SELECT unique_students AS students, total_attempts AS submissions, scored_attempts AS scored, avg_score, pass_rate, avg_integrity,
       high_risk_count, copy_count, incapable_count, no_interest_count, risk_levels, integrity_bands, flagged_count,
       alerting_count, last_attempt, metric_version, coverage, reasons, as_of
FROM shown_exam_performance
WHERE exam_id = $1;

-- name: list_tests
-- $1 exam_id uuid, $2 limit. The form that most were counted of first.
SELECT form_id, items, n, waiting, max_points, mean, median, sd, skew, lowest, highest, alpha, alpha_low, alpha_high, sem,
       total_passed, pass_rate, distribution, metric_version, coverage, reasons, as_of
FROM reporting.test_statistics
WHERE exam_id = $1
ORDER BY n DESC, form_id
LIMIT $2;

-- name: fetch_collusion
-- $1 exam_id uuid. How many pairs were compared stands in each row of a form; of an exam without forms, in those without one.
WITH forms AS (
    SELECT s.* FROM reporting.test_statistics t
    CROSS JOIN LATERAL (SELECT pairs, similar_pairs, as_of FROM reporting.answer_similarity
                        WHERE exam_id = $1 AND form_id = t.form_id LIMIT 1) s
    WHERE t.exam_id = $1
    UNION ALL
    (SELECT pairs, similar_pairs, as_of FROM reporting.answer_similarity WHERE exam_id = $1 AND form_id IS NULL LIMIT 1)
)
SELECT sum(pairs)::bigint AS pairs, sum(similar_pairs)::bigint AS similar_pairs, max(as_of) AS as_of,
       (SELECT count(*) FROM reporting.collusion_clusters WHERE exam_id = $1) AS clusters,
       (SELECT coalesce(max(size), 0) FROM reporting.collusion_clusters WHERE exam_id = $1) AS largest_cluster
FROM forms
HAVING count(*) > 0;

-- name: list_students
-- $1 exam_id uuid, $2 after student uuid or null, $3 limit of students
-- One row per attempt of the next students, by student and start. Activity is null where nothing was projected yet.
WITH page AS (
    SELECT DISTINCT student_id FROM exam_attempts
    WHERE exam_id = $1 AND ($2::uuid IS NULL OR student_id > $2)
    ORDER BY student_id
    LIMIT $3
)
SELECT a.student_id, u.full_name AS student_name, a.id AS attempt_id, a.status, a.started_at, a.completed_at,
       a.score::float8 AS score, a.percentage::float8 AS percentage, a.passed, v.is_void IS NOT NULL AS is_void, a.integrity_score,
       a.lmi, a.dropout_label, a.flagged, a.risk_level, a.integrity_band, r.session_ids, r.events, r.violations,
       r.by_type, r.by_severity, r.first_event_at, r.last_event_at, r.longest_silence_s,
       r.heartbeat_coverage, r.clock_skew_ms, r.late_events, r.coverage, r.as_of
FROM page
JOIN analysed_attempts a ON a.exam_id = $1 AND a.student_id = page.student_id
JOIN users u ON u.id = a.student_id
LEFT JOIN submission_results v ON v.attempt_id = a.id AND v.is_void
LEFT JOIN reporting.attempt_activity r ON r.attempt_id = a.id
ORDER BY a.student_id, a.started_at, a.id;
