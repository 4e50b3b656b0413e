"""
The ledger as the API writes and shows it: entries, who looked at what, the audit log, heads and proofs.
"""
