"""
What the ingest tests begin with, on real servers throughout.

`world`: people with running sessions, in a database. `station`: the application on a real socket in a thread
of its own, and the writer's threads. `api`: a client of it. `stream`: the append function, past the tier.
`waiting`: conditions that come true in time.
"""
