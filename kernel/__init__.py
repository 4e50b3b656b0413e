"""
The shared kernel: the vocabulary every room speaks, and the plumbing every process needs.

Pure: `access`, `errors`, `events`, `meter`, `spelling`, `values`, and of `ledger` all but keys and witnesses.
Plumbing: `settings`, `tokens`, `revocation`, `postgres`; `running` (a process), `http` (what it serves),
`storage` (where files are kept), `files` (foreign rows).
It imports no sibling room; everybody may import it. Small, and changed rarely.
"""

from typing import Final

VERSION: Final = "0.1.0"  # of Veritas, as pyproject.toml has it
