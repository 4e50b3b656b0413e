"""The ledger's own rules: events and their kinds, the Merkle tree, signed heads, witnesses."""
