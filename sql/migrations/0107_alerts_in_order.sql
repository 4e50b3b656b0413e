-- What alerts, the most urgent first and of these the latest: met in this order, whoever asks for a page (spec.md W-5). The place in it
-- is one number, so that a page begins where the one before ended, in the index.

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX behavior_analysis_alerts_by_urgency ON reporting.behavior_analysis (
    (alert_rank * 1e12::float8 - date_part('epoch', coalesce(completed_at, '9999-01-01Z'::timestamptz) AT TIME ZONE 'UTC')), attempt_id
) WHERE alert_rank IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX reporting.behavior_analysis_alerts;
