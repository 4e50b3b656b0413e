-- One dataset. {name}: its name; {replaced}: its columns of JSON; {files}: patterns or paths of one immutable build's parts, in a folder below
-- where it was published, or where whoever reads says that they have it (place.sql).
CREATE VIEW {name} AS
SELECT * {replaced}
FROM read_parquet([{files}], hive_partitioning = false);
