-- Drafts of a set of risk rules: what they name.

-- name: list_versions_named
-- $1 organisation uuid, $2 rule ids, $3 versions, a place each. Of deleted rules too.
SELECT v.*
FROM unnest($2::bigint[], $3::integer[]) AS t (rule_id, version)
JOIN risk_rule_versions v ON v.rule_id = t.rule_id AND v.version = t.version
WHERE v.organisation_id = $1;

-- name: list_rules_known
-- $1 organisation uuid, $2 rule ids. Those of them that there are, deleted ones too.
SELECT id FROM risk_rules WHERE organisation_id = $1 AND id = ANY ($2::bigint[]);
