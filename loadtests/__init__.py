"""
Load: a good client, the checker of its history, replay, locust scenarios, benchmarks and their baselines.

Imports anything; nobody imports it but deploy and the tests.
"""
