"""What staff do while an exam runs: warn, flag, pause, resume, end, give time, announce; in a room, too."""
