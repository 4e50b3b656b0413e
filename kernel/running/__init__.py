"""What a running process is made of: its limits and turns, its loops and their end, its metrics, its logs."""
