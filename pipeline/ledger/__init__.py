"""The ledger after the commit: sealing it, checking the whole of it, handing it out."""
