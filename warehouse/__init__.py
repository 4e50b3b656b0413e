"""
The warehouse: Parquet layout, schemas, atomic publish, and the DuckDB catalogue over it.

`layout` says what a dataset is and `datasets` which there are, `builds` how it lies on disk, `publish` puts
builds in force, `catalogue` leads analysts to them, `files` does the file operations; DuckDB's SQL is in
marts/*.sql. Imports kernel and sql only.
"""
