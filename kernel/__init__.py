"""
The shared kernel: the vocabulary every room speaks, and the plumbing every process needs.

Pure: `events`, `errors`, `access`. Plumbing: `settings`, `tokens`, `runtime`, `web`.
It imports no sibling room; everybody may import it. Small, and changed rarely.
"""
