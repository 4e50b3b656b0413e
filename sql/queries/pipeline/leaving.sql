-- Who is about to leave: what members of groups had done by a cut-off, and what a model made of it.

-- name: list_cohorts
-- Groups that anything was ever assigned to.
SELECT DISTINCT group_id::text FROM assignments WHERE group_id IS NOT NULL ORDER BY 1;

-- name: list_cohort_progress
-- Members of a group at a cut-off. An exam is due when the group's assignment closes, or the member's exception to it, unless it was
-- revoked before; an account that is not active any more counts as enrolled where the horizon is over and its candidate did something
-- for the group in as many days before the cut-off.
WITH given AS (
    SELECT :cohort_id::text::uuid AS group_id, :cut_off::timestamptz AS cut_off,
           make_interval(days => :horizon_days::integer) AS horizon, :as_of::timestamptz AS as_of
), members AS (
    SELECT m.user_id, m.added_at, u.is_active
    FROM given g
    JOIN group_members m ON m.group_id = g.group_id AND m.added_at <= g.cut_off
    JOIN users u ON u.id = m.user_id AND u.role = 'student'
), own_attempts AS (
    SELECT t.id, t.student_id, t.exam_id, t.status, t.started_at, t.completed_at
    FROM given g
    JOIN members m ON true
    JOIN exam_attempts t ON t.student_id = m.user_id
    WHERE t.exam_id IN (SELECT exam_id FROM assignments WHERE group_id = g.group_id)
), hand_ins AS (
    SELECT m.user_id, a.exam_id, max(w.closes_at) AS closes_at
    FROM given g
    JOIN members m ON true
    JOIN assignments a ON a.group_id = g.group_id
    LEFT JOIN assignment_overrides o ON o.assignment_id = a.id AND o.user_id = m.user_id
    CROSS JOIN LATERAL (SELECT coalesce(o.closes_at, a.closes_at) AS closes_at) w
    WHERE w.closes_at > m.added_at AND (a.revoked_at IS NULL OR a.revoked_at > w.closes_at) AND a.created_at <= w.closes_at
    GROUP BY m.user_id, a.exam_id
), firsts AS (
    SELECT t.student_id, t.exam_id, min(t.completed_at) AS done_at
    FROM given g
    JOIN own_attempts t ON t.status = 'completed' AND t.completed_at <= g.cut_off
    GROUP BY t.student_id, t.exam_id
), dues AS (
    SELECT h.user_id, count(*) FILTER (WHERE h.closes_at <= g.cut_off) AS due,
           count(f.done_at) FILTER (WHERE h.closes_at <= g.cut_off) AS done,
           (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM h.closes_at - f.done_at) / 3600)
               FILTER (WHERE h.closes_at <= g.cut_off AND f.done_at IS NOT NULL))::float8 AS earliness_h,
           bool_or(h.closes_at > g.cut_off AND h.closes_at <= g.cut_off + g.horizon) AS is_asked
    FROM given g
    JOIN hand_ins h ON true
    LEFT JOIN firsts f ON f.student_id = h.user_id AND f.exam_id = h.exam_id
    GROUP BY h.user_id
), acts AS (
    SELECT t.student_id, count(*) FILTER (WHERE t.started_at <= g.cut_off) AS attempts,
           count(*) FILTER (WHERE t.status = 'abandoned' AND t.completed_at <= g.cut_off) AS abandoned,
           max(t.completed_at) FILTER (WHERE t.status = 'completed' AND t.completed_at <= g.cut_off) AS last_at,
           bool_or(t.started_at <= g.cut_off AND greatest(t.started_at, t.completed_at) > g.cut_off - g.horizon) AS was_there,
           coalesce(bool_or((t.started_at > g.cut_off AND t.started_at <= g.cut_off + g.horizon)
               OR (t.status = 'completed' AND t.completed_at > g.cut_off AND t.completed_at <= g.cut_off + g.horizon)), false)
               AS is_back
    FROM given g
    JOIN own_attempts t ON true
    GROUP BY t.student_id
)
SELECT g.group_id::text AS cohort_id, m.user_id::text AS student_id, g.cut_off,
       m.is_active OR (g.cut_off + g.horizon <= g.as_of AND coalesce(b.was_there, false)) AS is_enrolled,
       coalesce(d.due, 0) AS due, coalesce(d.done, 0) AS done, coalesce(b.attempts, 0) AS attempts,
       coalesce(b.abandoned, 0) AS abandoned, d.earliness_h,
       (extract(epoch FROM g.cut_off - b.last_at) / 86400)::float8 AS idle_d, n.lmi, n.integrity,
       CASE WHEN g.cut_off + g.horizon <= g.as_of AND d.is_asked THEN NOT coalesce(b.is_back, false) END AS has_left
FROM given g
JOIN members m ON true
LEFT JOIN dues d ON d.user_id = m.user_id
LEFT JOIN acts b ON b.student_id = m.user_id
CROSS JOIN LATERAL (
    SELECT (SELECT avg(lmi_score) FROM (
                SELECT r.lmi_score FROM reporting.behavior_analysis r
                WHERE r.student_id = m.user_id AND r.completed_at <= g.cut_off AND r.lmi_score IS NOT NULL
                ORDER BY r.completed_at DESC, r.attempt_id DESC LIMIT 10) l) AS lmi,
           (SELECT avg(integrity_score) FROM (
                SELECT r.integrity_score FROM reporting.behavior_analysis r
                WHERE r.student_id = m.user_id AND r.completed_at <= g.cut_off AND r.integrity_score IS NOT NULL
                ORDER BY r.completed_at DESC, r.attempt_id DESC LIMIT 10) i) AS integrity
) n
ORDER BY m.user_id;

-- name: put_scores
-- One cohort's scores at a cut-off, each for the last attempt that its candidate had handed in to the cohort by then. Of two for an
-- attempt the later cut-off holds, of one cut-off what was scored later, and of one run, where somebody is in two cohorts, the
-- higher probability. Returns the attempts that were given one.
INSERT INTO reporting.leaving_scores AS s
    (attempt_id, cohort_id, cut_off, horizon_days, probability, reasons, done_share, done_share_p10, model_version, scored_at)
SELECT t.id, :cohort_id::text::uuid, :cut_off::timestamptz, :horizon_days::integer, n.probability, n.reasons, n.done_share,
       :done_share_p10::float8, :model_version::text, :scored_at::timestamptz
FROM unnest(:students::text[]::uuid[], :probabilities::float8[], :reasons::text[], :done_shares::float8[])
    n (student_id, probability, reasons, done_share)
CROSS JOIN LATERAL (
    SELECT a.id FROM exam_attempts a
    WHERE a.student_id = n.student_id AND a.status = 'completed' AND a.completed_at <= :cut_off::timestamptz
      AND a.exam_id IN (SELECT exam_id FROM assignments WHERE group_id = :cohort_id::text::uuid)
    ORDER BY a.completed_at DESC, a.id DESC
    LIMIT 1
) t
ON CONFLICT (attempt_id) DO UPDATE SET
    cohort_id = excluded.cohort_id, cut_off = excluded.cut_off, horizon_days = excluded.horizon_days,
    probability = excluded.probability, reasons = excluded.reasons, done_share = excluded.done_share,
    done_share_p10 = excluded.done_share_p10, model_version = excluded.model_version, scored_at = excluded.scored_at
WHERE (s.cut_off, s.scored_at, s.probability) < (excluded.cut_off, excluded.scored_at, excluded.probability)
RETURNING attempt_id::text;
