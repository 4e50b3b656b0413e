-- For those who search payloads in PostgreSQL rather than in Parquet. They cost more than half of the write rate
-- (docs/benchmarks.md), which is why they are not there by default (spec.md I-7).
CREATE INDEX events_payload ON events USING gin (payload);
CREATE INDEX events_type_severity ON events (event_type, severity, occurred_at);
