"""
What the benchmarks compare with: the fastest way PostgreSQL has to take the same rows, and the naive design.

Frozen on purpose: a change here changes every ratio.
"""
