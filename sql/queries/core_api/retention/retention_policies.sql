-- An organisation's retention policy.

-- name: fetch_policy
-- Of the asker's organisation, set or not.
SELECT events_days, evidence_days, inactive_days, submissions_days, runtime_days, set_at FROM own_retention_rule();

-- name: set_policy
INSERT INTO retention_policies (organisation_id, events_days, evidence_days, inactive_days, submissions_days, runtime_days,
                                set_by, set_at)
VALUES (:organisation, :events_days, :evidence_days, :inactive_days, :submissions_days, :runtime_days, :set_by, :set_at)
ON CONFLICT (organisation_id) DO UPDATE
    SET events_days = excluded.events_days, evidence_days = excluded.evidence_days, inactive_days = excluded.inactive_days,
        submissions_days = excluded.submissions_days, runtime_days = excluded.runtime_days, set_by = excluded.set_by, set_at = excluded.set_at;

-- name: forecast
-- Of the asker's organisation.
SELECT what, days, why, pieces, total, oldest, newest FROM own_retention_forecast();
