"""Results and texts from elsewhere: how the rows of a file become what the core API imports."""
