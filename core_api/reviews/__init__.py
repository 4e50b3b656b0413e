"""What people decide about proctor sessions once their attempts have ended, and who is at work on which."""
