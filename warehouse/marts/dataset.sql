-- One dataset. {name}: its name; {replaced}: its columns of JSON; {files}: patterns or paths of one immutable build's parts.
CREATE VIEW {name} AS
SELECT * {replaced}
FROM read_parquet([{files}], hive_partitioning = false);
