"""
Load: a good `client`, the `check` of its history, `replay` of real records, an `example` of all of it,
locust scenarios, `bench`marks and their `baselines`.

Imports every room, and deploy.local, which starts servers; the command line alone imports it.
"""
