-- The catalogue's frame. {path}: the file to write. given_datasets, given_columns: what the publisher knows.
-- v1.0.0 is the oldest storage that has all of this; newer DuckDBs read it, and so does every one since 1.1, by its variables.
ATTACH '{path}' AS catalogue (STORAGE_VERSION 'v1.0.0');
USE catalogue;
BEGIN TRANSACTION;
CREATE SCHEMA published;
CREATE TABLE published.datasets AS SELECT * FROM given_datasets;
CREATE TABLE published.columns AS SELECT * FROM given_columns;

-- How fresh each dataset is and where its files are.
CREATE VIEW datasets AS
SELECT dataset, "rows", build, watermark, as_of, bytes, parts, grain, partition_key, sorted_by, schema_version, published_at, folder
FROM published.datasets
ORDER BY dataset;

-- What each column means, its unit, and what null says.
CREATE VIEW columns AS
SELECT dataset, column_name, type, description, unit, "null" AS null_means
FROM published.columns
ORDER BY dataset, position;
