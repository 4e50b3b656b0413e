"""
The core API: people, exams, attempts, proctor sessions, and what teachers ask.

One use-case module per noun, its statements in sql/queries/<noun>.sql, its handlers in the routes file of its
audience. Imports kernel and sql (and warehouse, for archived events only).
"""
