"""
The warehouse: Parquet layout, schemas, atomic publish, and the DuckDB catalogue over it.

Imports kernel and sql only.
"""
