"""
What goes when its time is over, by each organisation's policy, and how it comes back (spec.md G-1).

What may go, and why the rest stays, says the database (`event_retention`, `kept_attempts`), to the forecast
and to the sweep alike. A step is one transaction: what goes, and the ledger's event that says so.
"""
