-- Assignments of exams to users and groups, and one candidate's exceptions to them.

-- name: upsert_users_assignments
-- `targets` are users. Who has one already gets the new terms; who has it with these very terms gives no row.
INSERT INTO assignments (exam_id, id, user_id, opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed,
                         monitoring_mode, rule_exemptions, created_by, created_at)
SELECT :exam_id, given.id, given.user_id, :opens_at, :closes_at, :duration_minutes, :extra_minutes, :attempts_allowed,
       :monitoring_mode, :rule_exemptions::bigint[], :created_by, :created_at
FROM unnest(:ids::uuid[], :targets::uuid[]) AS given (id, user_id)
ORDER BY given.user_id
ON CONFLICT (exam_id, user_id) WHERE revoked_at IS NULL DO UPDATE
SET opens_at = excluded.opens_at, closes_at = excluded.closes_at, duration_minutes = excluded.duration_minutes,
    extra_minutes = excluded.extra_minutes, attempts_allowed = excluded.attempts_allowed,
    monitoring_mode = excluded.monitoring_mode, rule_exemptions = excluded.rule_exemptions
WHERE (assignments.opens_at, assignments.closes_at, assignments.duration_minutes, assignments.extra_minutes,
       assignments.attempts_allowed, assignments.monitoring_mode, assignments.rule_exemptions)
   IS DISTINCT FROM (excluded.opens_at, excluded.closes_at, excluded.duration_minutes, excluded.extra_minutes,
                     excluded.attempts_allowed, excluded.monitoring_mode, excluded.rule_exemptions)
RETURNING id;

-- name: upsert_groups_assignments
-- As above; `targets` are groups.
INSERT INTO assignments (exam_id, id, group_id, opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed,
                         monitoring_mode, rule_exemptions, created_by, created_at)
SELECT :exam_id, given.id, given.group_id, :opens_at, :closes_at, :duration_minutes, :extra_minutes, :attempts_allowed,
       :monitoring_mode, :rule_exemptions::bigint[], :created_by, :created_at
FROM unnest(:ids::uuid[], :targets::uuid[]) AS given (id, group_id)
ORDER BY given.group_id
ON CONFLICT (exam_id, group_id) WHERE revoked_at IS NULL DO UPDATE
SET opens_at = excluded.opens_at, closes_at = excluded.closes_at, duration_minutes = excluded.duration_minutes,
    extra_minutes = excluded.extra_minutes, attempts_allowed = excluded.attempts_allowed,
    monitoring_mode = excluded.monitoring_mode, rule_exemptions = excluded.rule_exemptions
WHERE (assignments.opens_at, assignments.closes_at, assignments.duration_minutes, assignments.extra_minutes,
       assignments.attempts_allowed, assignments.monitoring_mode, assignments.rule_exemptions)
   IS DISTINCT FROM (excluded.opens_at, excluded.closes_at, excluded.duration_minutes, excluded.extra_minutes,
                     excluded.attempts_allowed, excluded.monitoring_mode, excluded.rule_exemptions)
RETURNING id;

-- name: fetch_assigned
-- $1 exam_id, $2 user_ids uuid[], $3 group_ids uuid[]. What stands for them, users first.
SELECT * FROM shown_assignments a
WHERE a.exam_id = $1 AND a.revoked_at IS NULL AND (a.user_id = ANY ($2::uuid[]) OR a.group_id = ANY ($3::uuid[]))
ORDER BY a.user_id, a.group_id;

-- name: list_assignments
-- The caller has checked that the exam is theirs. Newest first.
SELECT * FROM shown_assignments a
WHERE a.exam_id = :exam_id AND (:cursor::uuid IS NULL OR a.id < :cursor)
ORDER BY a.id DESC
LIMIT :limit;

-- name: fetch_assignment
-- $1 id, $2 exam_id. The caller has checked that the exam is theirs; a revoked one comes back too.
SELECT * FROM shown_assignments WHERE id = $1 AND exam_id = $2;

-- name: hold_assignment
-- $1 id, $2 exam_id. Locks it until the end of the transaction; what it is, is read after that.
SELECT id FROM assignments WHERE id = $1 AND exam_id = $2 FOR UPDATE;

-- name: revoke_assignment
-- $1 id, $2 at. Revoking again keeps the first time.
UPDATE assignments SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING revoked_at;

-- name: reaches
-- $1 assignment_id, $2 user_id. Whether the assignment is theirs, directly or through a group.
SELECT EXISTS (
    SELECT FROM assignments a
    WHERE a.id = $1
      AND (a.user_id = $2 OR EXISTS (SELECT FROM group_members m WHERE m.group_id = a.group_id AND m.user_id = $2)));

-- name: count_groups
-- $1 organisation, $2 ids uuid[]
SELECT count(*) FROM groups WHERE organisation_id = $1 AND id = ANY ($2::uuid[]);

-- name: upsert_override
-- No row where it stands with these very values.
INSERT INTO assignment_overrides (assignment_id, user_id, opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed,
                                  monitoring_mode, rule_exemptions, reason, created_by, created_at)
VALUES (:assignment_id, :user_id, :opens_at, :closes_at, :duration_minutes, :extra_minutes, :attempts_allowed, :monitoring_mode,
        :rule_exemptions::bigint[], :reason, :created_by, :created_at)
ON CONFLICT (assignment_id, user_id) DO UPDATE
SET opens_at = excluded.opens_at, closes_at = excluded.closes_at, duration_minutes = excluded.duration_minutes,
    extra_minutes = excluded.extra_minutes, attempts_allowed = excluded.attempts_allowed,
    monitoring_mode = excluded.monitoring_mode, rule_exemptions = excluded.rule_exemptions, reason = excluded.reason,
    created_by = excluded.created_by, created_at = excluded.created_at
WHERE (assignment_overrides.opens_at, assignment_overrides.closes_at, assignment_overrides.duration_minutes,
       assignment_overrides.extra_minutes, assignment_overrides.attempts_allowed, assignment_overrides.monitoring_mode,
       assignment_overrides.rule_exemptions, assignment_overrides.reason)
   IS DISTINCT FROM (excluded.opens_at, excluded.closes_at, excluded.duration_minutes, excluded.extra_minutes,
                     excluded.attempts_allowed, excluded.monitoring_mode, excluded.rule_exemptions, excluded.reason)
RETURNING assignment_id, user_id, opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed, monitoring_mode,
          rule_exemptions, reason, created_by, created_at;

-- name: find_attempt_under_way
-- $1 exam, $2 student, $3 now
SELECT id FROM exam_attempts WHERE exam_id = $1 AND student_id = $2 AND status = 'in_progress' AND expires_at > $3;

-- name: fetch_override
-- $1 assignment_id, $2 user_id
SELECT assignment_id, user_id, opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed, monitoring_mode,
       rule_exemptions, reason, created_by, created_at
FROM assignment_overrides
WHERE assignment_id = $1 AND user_id = $2;

-- name: list_overrides
SELECT assignment_id, user_id, opens_at, closes_at, duration_minutes, extra_minutes, attempts_allowed, monitoring_mode,
       rule_exemptions, reason, created_by, created_at
FROM assignment_overrides
WHERE assignment_id = :assignment_id AND (:cursor::uuid IS NULL OR user_id > :cursor)
ORDER BY user_id
LIMIT :limit;

-- name: delete_override
-- $1 assignment_id, $2 user_id
DELETE FROM assignment_overrides WHERE assignment_id = $1 AND user_id = $2 RETURNING user_id;

-- name: list_grants
-- $1 exam_ids uuid[], $2 student uuid
-- Every assignment that reaches the student, with their override of it; at most one row for each group they are in.
SELECT a.exam_id, a.group_id IS NOT NULL AS to_group,
       a.opens_at, a.closes_at, a.duration_minutes, a.extra_minutes, a.attempts_allowed, a.monitoring_mode, a.rule_exemptions,
       o.user_id IS NOT NULL AS is_overridden, o.opens_at AS o_opens_at, o.closes_at AS o_closes_at,
       o.duration_minutes AS o_duration_minutes, o.extra_minutes AS o_extra_minutes, o.attempts_allowed AS o_attempts_allowed,
       o.monitoring_mode AS o_monitoring_mode, o.rule_exemptions AS o_rule_exemptions
FROM assignments a
LEFT JOIN assignment_overrides o ON o.assignment_id = a.id AND o.user_id = $2
WHERE a.exam_id = ANY ($1::uuid[]) AND a.revoked_at IS NULL
  AND (a.user_id = $2 OR a.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = $2));

-- name: list_reached
-- Active students among `user_ids` and the members of `group_ids`, with the attempt at the exam that each has under way; how
-- many they are in all stands in every row.
WITH reached AS MATERIALIZED (
    SELECT s.id, s.full_name, s.sorted_by
    FROM listed_students s
    WHERE s.organisation_id = :organisation
      AND s.id = ANY (ARRAY(SELECT unnest(:user_ids::uuid[])
                            UNION SELECT user_id FROM group_members WHERE group_id = ANY (:group_ids::uuid[])))
)
SELECT r.id AS user_id, r.full_name, a.id AS attempt_id, a.expires_at, count(*) OVER () AS students, count(a.id) OVER () AS under_way
FROM reached r
LEFT JOIN exam_attempts a ON a.exam_id = :exam_id AND a.student_id = r.id AND a.status = 'in_progress'
                             AND a.expires_at > :now::timestamptz
ORDER BY a.id IS NULL, r.sorted_by, r.id
LIMIT :limit;
