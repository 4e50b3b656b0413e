-- Sums over the submissions of an exam that count, carried forward by those that have changed.

-- name: list_known_sums
-- $1 exam ids as text, $2 version. The exams whose sums are of that version.
SELECT exam_id::text FROM reporting.exam_sums WHERE exam_id = ANY ($1::text[]::uuid[]) AND version = $2;

-- name: delete_sums
-- $1 exam ids as text. Everything is counted anew.
WITH parts AS (DELETE FROM reporting.exam_parts WHERE exam_id = ANY ($1::text[]::uuid[]))
DELETE FROM reporting.exam_sums WHERE exam_id = ANY ($1::text[]::uuid[]);

-- name: carry_sums
-- $1 exam ids as text, $2 attempt ids of theirs as text, or null for all, $3 version. What these attempts have put in is taken out,
-- and what they come to now is put in. A student counts once, whichever of their attempts there are.
WITH come AS MATERIALIZED (
    SELECT s.attempt_id, s.exam_id, s.student_id, s.finalised_at, greatest(s.as_of, b.as_of) AS as_of,
           round(s.percentage::numeric * 1000)::bigint AS percentage, s.passed,
           round(b.integrity_score::numeric * 1000000)::bigint AS integrity, b.dropout_label AS label,
           array_remove(ARRAY[b.risk_level, b.integrity_band, CASE WHEN b.flagged THEN 'flagged' END,
                              CASE WHEN b.alert_rank IS NOT NULL THEN 'alerting' END], NULL) AS judgements
    FROM reporting.submissions s
    LEFT JOIN reporting.behavior_analysis b USING (attempt_id)
    WHERE s.exam_id = ANY ($1::text[]::uuid[]) AND ($2::text[] IS NULL OR s.attempt_id = ANY ($2::text[]::uuid[])) AND NOT s.is_void
), gone AS MATERIALIZED (
    SELECT * FROM reporting.exam_parts
    WHERE exam_id = ANY ($1::text[]::uuid[]) AND ($2::text[] IS NULL OR attempt_id = ANY ($2::text[]::uuid[]))
), removed AS (
    DELETE FROM reporting.exam_parts
    WHERE attempt_id IN (SELECT attempt_id FROM gone) AND attempt_id NOT IN (SELECT attempt_id FROM come)
), put AS (
    INSERT INTO reporting.exam_parts (attempt_id, exam_id, student_id, finalised_at, as_of, percentage, passed, integrity, label,
                                      judgements)
    SELECT attempt_id, exam_id, student_id, finalised_at, as_of, percentage, passed, integrity, label, judgements FROM come
    ON CONFLICT (attempt_id) DO UPDATE SET
        finalised_at = excluded.finalised_at, as_of = excluded.as_of, percentage = excluded.percentage,
        passed = excluded.passed, integrity = excluded.integrity, label = excluded.label, judgements = excluded.judgements
), students AS (
    SELECT exam_id, student_id,
           EXISTS (SELECT FROM reporting.exam_parts p WHERE p.exam_id = t.exam_id AND p.student_id = t.student_id) AS was,
           EXISTS (SELECT FROM come c WHERE c.exam_id = t.exam_id AND c.student_id = t.student_id)
           OR EXISTS (SELECT FROM reporting.exam_parts p WHERE p.exam_id = t.exam_id AND p.student_id = t.student_id
                      AND p.attempt_id NOT IN (SELECT attempt_id FROM gone)) AS "is"
    FROM (SELECT exam_id, student_id FROM come UNION SELECT exam_id, student_id FROM gone) t
), told AS (
    SELECT exam_id, jsonb_object_agg(judgement, n) AS judgements
    FROM (SELECT exam_id, judgement, sum(sign) AS n
          FROM (SELECT 1 AS sign, exam_id, unnest(judgements) AS judgement FROM come
                UNION ALL SELECT -1, exam_id, unnest(judgements) FROM gone) j
          GROUP BY exam_id, judgement) s
    GROUP BY exam_id
), moved AS (
    SELECT exam_id, sum(sign) AS attempts, sum(sign * (percentage IS NOT NULL)::int) AS scored,
           coalesce(sum(sign * percentage), 0) AS percentage, sum(sign * coalesce(passed, false)::int) AS passed,
           sum(sign * (integrity IS NOT NULL)::int) AS judged, coalesce(sum(sign * integrity), 0) AS integrity,
           sum(sign * (label IS NOT NULL)::int) AS labelled, sum(sign * (label IS NOT DISTINCT FROM 'copy')::int) AS copy,
           sum(sign * (label IS NOT DISTINCT FROM 'incapable')::int) AS incapable,
           sum(sign * (label IS NOT DISTINCT FROM 'no_interest')::int) AS no_interest
    FROM (SELECT 1 AS sign, exam_id, percentage, passed, integrity, label FROM come
          UNION ALL SELECT -1, exam_id, percentage, passed, integrity, label FROM gone) w
    GROUP BY exam_id
)
INSERT INTO reporting.exam_sums AS s (exam_id, version, attempts, students, scored, percentage, passed, judged, integrity, labelled,
                                      copy, incapable, no_interest, judgements)
SELECT exam_id, $3, attempts, (SELECT sum("is"::int - was::int) FROM students t WHERE t.exam_id = m.exam_id), scored, percentage,
       passed, judged, integrity, labelled, copy, incapable, no_interest,
       coalesce((SELECT judgements FROM told t WHERE t.exam_id = m.exam_id), '{}')
FROM moved m
ON CONFLICT (exam_id) DO UPDATE SET
    attempts = s.attempts + excluded.attempts, students = s.students + excluded.students, scored = s.scored + excluded.scored,
    percentage = s.percentage + excluded.percentage, passed = s.passed + excluded.passed, judged = s.judged + excluded.judged,
    integrity = s.integrity + excluded.integrity, labelled = s.labelled + excluded.labelled, copy = s.copy + excluded.copy,
    incapable = s.incapable + excluded.incapable, no_interest = s.no_interest + excluded.no_interest,
    judgements = reporting.added(s.judgements, excluded.judgements);

-- name: list_sums
-- $1 exam ids as text. The sums, and how far they reach.
SELECT exam_id::text AS exam_id, attempts, students, scored, percentage, passed, judged, integrity, labelled, copy, incapable,
       no_interest, judgements::text AS judgements,
       (SELECT max(finalised_at) FROM reporting.exam_parts p WHERE p.exam_id = s.exam_id) AS last_attempt,
       (SELECT max(as_of) FROM reporting.exam_parts p WHERE p.exam_id = s.exam_id) AS as_of
FROM reporting.exam_sums s
WHERE exam_id = ANY ($1::text[]::uuid[]);
