"""A person's own data: their erasure, as admins ask for it; the pipeline carries it out (spec.md G-2)."""
