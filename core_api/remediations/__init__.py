"""Keys put right after the exam: what a remediation changes, whom it reaches, and the steps that rescore."""
