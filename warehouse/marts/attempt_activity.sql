-- One row per attempt. {files}: pattern of one immutable build's parts.
CREATE VIEW attempt_activity AS
SELECT * REPLACE (by_type::JSON AS by_type, by_severity::JSON AS by_severity, reasons::JSON AS reasons)
FROM read_parquet('{files}', hive_partitioning = false);
