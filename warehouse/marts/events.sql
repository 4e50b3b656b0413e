-- Every archived event. {files}: pattern of one immutable build's parts.
CREATE VIEW events AS
SELECT * REPLACE (payload::JSON AS payload)
FROM read_parquet('{files}', hive_partitioning = false);
