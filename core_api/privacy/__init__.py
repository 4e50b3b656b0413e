"""A person's own data: as one archive, and their erasure, which the pipeline carries out (spec.md G-2)."""
