"""Risk of proctor sessions: its rules as admins keep them, and scores with what explains them, for staff."""
