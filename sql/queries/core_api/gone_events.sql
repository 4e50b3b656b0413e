-- Events that the archive alone has, of sessions that the asker may see.

-- name: list_gone
-- $1 session ids
SELECT session_id, through_seq, first_at, last_at FROM seen_gone_events WHERE session_id = ANY ($1::bigint[]) ORDER BY session_id;

-- name: list_analyses
-- $1 session id, $2 sequences. What analysis says of them, where the asker may know.
SELECT seq, is_anomaly, anomaly_score, description, analysis_notes
FROM event_analyses($1, $2::integer[]);
