"""
The core API: people, exams, attempts, proctor sessions, evidence, hand-ins, decisions, the ledger, and
what teachers ask.

A package a noun (`identity`, `people`, `authoring`, `exams`, `sittings`, `attempts`, `submissions`,
`observations`, `proctoring`, `evidence`, `remediations`, `interventions`, `reviews`, `claims`, `programmes`,
`risk`, `analytics`, `exports`, `privacy`, `retention`, `ledger`, and `web` around them): use cases, and
routes that name them (`cases` makes a route from a use case's signature); the statements are in
sql/queries/core_api/<package>/<noun>.sql. Beside them stands the shell: `app` composes, `actors` says who
asks, `database` lends connections, `archived` reads events that the archive alone has, `wire` reads bodies
and writes replies, `seeding` makes schools, people and candidates. Imports kernel and sql (and warehouse, for
archived events and for what its datasets are); which package may import which stands in pyproject.toml.
"""
