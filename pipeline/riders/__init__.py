"""
What rides on the fold: a feature's pure functions (`features`) with what they read and where their numbers
go, in the transaction that moves the session's position. Imports features, sql, kernel and warehouse.
"""
