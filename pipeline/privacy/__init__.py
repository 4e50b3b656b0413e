"""Erasing a person: the worker of what the core API was asked for (spec.md G-2, decision 13)."""
