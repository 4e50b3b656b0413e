"""
The pipeline: dirty rows in, projections out.

dramatiq actors driven by watermarks recompute touched partitions with pure functions and load reporting.* and
the warehouse from the same frames. Imports kernel, sql and warehouse.
"""
