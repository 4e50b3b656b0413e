"""
What is computed of submissions, in layers: attempts, then their exams and students.

`projection` says what a projection is, `registry` which there are, in order; `turns` is how a key gets its
turn, `reading` and `storing` where its frames come from and where its rows go. Each noun has a module of a
few lines that names its feature, its dataset and what it takes. Imports features, sql, kernel and warehouse.
"""
