"""
The pipeline: dirty rows in, what is folded of them out; committed ledger events in, signed heads out.

`scheduler` gathers what was touched and wakes dramatiq `actors`; `fold` carries sessions forward for its
`riders`, each with the pure functions of a noun in `features`, into reporting.*; `projections` compute there
what follows from submissions; `rebuild` and `recomputing` do both anew; `archive` and `publications` load the
warehouse; `definitions` prints what each number means. `outbox` hands over what the core API recorded;
`ledger` seals, verifies and exports; `writer` asks a language model for words, where one is set; `detector`
looks at pictures for faces, where it is installed; `sweeps` go over the files of evidence; `retention` takes
what is past its policy, once the archive has it, and brings it back; `privacy` erases people. Imports kernel,
sql and warehouse.
"""
