"""A candidate at an exam: what is open to them, launch links, the attempt, its paper, its answers."""
