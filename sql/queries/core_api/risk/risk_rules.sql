-- Risk rules of an organisation, in versions, and the sets of them that sessions keep.

-- name: list_rules
-- $1 organisation uuid, $2 rule id, null for all. Those that were not deleted, in their newest versions and their order.
SELECT r.id, r.created_at, v.rule_id, v.version, v.name_en, v.name_ar, v.description_en, v.description_ar, v.is_active, v.event_type,
       v.threshold_count, v.window_seconds, v.risk_points, v.min_severity, v.max_triggers, v.priority, v.gap_class,
       v.created_at AS updated_at
FROM risk_rules r
CROSS JOIN LATERAL (SELECT * FROM risk_rule_versions v WHERE v.rule_id = r.id ORDER BY v.version DESC LIMIT 1) v
WHERE r.organisation_id = $1 AND r.deleted_at IS NULL AND ($2::bigint IS NULL OR r.id = $2)
ORDER BY v.priority, r.id;

-- name: list_versions
-- $1 rule id. Newest first, a hundred at most.
SELECT version, name_en, is_active, event_type, threshold_count, window_seconds, risk_points::float8 AS risk_points, min_severity,
       max_triggers, priority, gap_class, created_at
FROM risk_rule_versions
WHERE rule_id = $1
ORDER BY version DESC
LIMIT 100;

-- name: count_rules
-- $1 organisation uuid
SELECT count(*) FROM risk_rules WHERE organisation_id = $1 AND deleted_at IS NULL;

-- name: insert_rule
-- $1 organisation uuid, $2 created_by uuid, $3 created_at timestamptz
INSERT INTO risk_rules (organisation_id, created_by, created_at) VALUES ($1, $2, $3) RETURNING id;

-- name: insert_version
-- The next one. Whoever appends holds the organisation.
INSERT INTO risk_rule_versions (rule_id, organisation_id, version, name_en, name_ar, description_en, description_ar, is_active,
                                event_type, threshold_count, window_seconds, risk_points, min_severity, max_triggers, priority,
                                gap_class, created_by, created_at)
SELECT :rule_id, :organisation, coalesce(max(version), 0) + 1, :name_en, :name_ar, :description_en, :description_ar, :is_active,
       :event_type, :threshold_count, :window_seconds, :risk_points, :min_severity, :max_triggers, :priority, :gap_class,
       :created_by, :created_at
FROM risk_rule_versions
WHERE rule_id = :rule_id;

-- name: delete_rule
-- $1 rule id, $2 deleted_at timestamptz
UPDATE risk_rules SET deleted_at = $2 WHERE id = $1;

-- name: publish_set
-- $1 organisation uuid, $2 created_at timestamptz
SELECT publish_rule_set($1, $2);

-- name: count_fires
-- $1 rule id. In how many sessions it fired, and what was finally decided of those.
SELECT fired, upheld, cleared, overturned FROM rule_fared($1);
