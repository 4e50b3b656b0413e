-- What scores are carried forward from has a version of its own: where its form changes, a score is computed anew as its session is
-- touched, and nothing else of the session is.
ALTER TABLE reporting.risk_states ADD COLUMN version text NOT NULL DEFAULT 'risk-1';
