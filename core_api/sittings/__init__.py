"""Attempts while they are under way: their clock, and what staff do in their proctor sessions."""
