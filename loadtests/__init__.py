"""
Load: a good client, the checker of its history, replay, locust scenarios, benchmarks and their baselines.

Imports every room, and deploy.local, which starts servers; the command line alone imports it.
"""
