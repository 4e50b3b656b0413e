"""
Benchmarks: what the product does on this machine, beside the baselines it is compared with, in one run. Load
goes out from `sending`; `measuring` has the servers, the counters and the report.

`python -m loadtests.bench [ingest|soak|core|ledger]` prints progress and figures and writes
`build/bench/<name>.json`. docs/benchmarks.md says what each figure means.
"""
