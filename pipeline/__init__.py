"""
The pipeline: dirty rows in, projections out; committed ledger events in, signed heads out.

`scheduler` sends what is dirty to dramatiq `actors`; `projections` recompute touched attempts with the pure
functions of `features` and load reporting.*, `archive` and `publications` the warehouse. `outbox` hands over
what the core API recorded; `ledger` seals, verifies and exports. Imports kernel, sql and warehouse.
"""
