"""
The ingest tier: `admission`, the durable append (`appending`), the `stream`, and the `writer` that stores
what was acknowledged. `routes` answer, with what `receiving` lets in and `replies` say; `app` composes them.

Guarantee: a 202 means the sequence is assigned, the append is synced to disk, and the event will be stored
exactly once and in order. Imports kernel and sql; meets the other processes in Redis streams and PostgreSQL
rows only.
"""
