"""Observations: what an observer finds about people and things, from draft to amendment (spec.md M-4)."""
