-- Who is flagged, the most urgent first: met in this order, whoever asks for a page (spec.md W-5).

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX behavior_analysis_flagged_by_urgency ON reporting.behavior_analysis (
    (coalesce(alert_rank, 9) * 1e12::float8
     - date_part('epoch', coalesce(completed_at, '9999-01-01Z'::timestamptz) AT TIME ZONE 'UTC')),
    attempt_id
) WHERE requires_instructor_attention OR requires_recap OR dropout_label <> 'safe';
