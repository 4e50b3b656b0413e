-- Heartbeats change nothing that somebody waits for: what they touch is folded with the next event, or after a while.
ALTER TABLE reporting.fold_claims ADD COLUMN is_patient boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN reporting.fold_claims.is_patient IS 'More heartbeats are all that came: due later, or with anything else.';
COMMENT ON COLUMN dirty_sessions.cause IS 'Why, where it was more heartbeats, or no events at all.';
-- Nobody ever read it. A pipeline of before waits for its successor.
-- squawk-ignore ban-drop-column
ALTER TABLE reporting.fold_claims DROP COLUMN causes;
