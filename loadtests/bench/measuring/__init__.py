"""What a benchmark stands on and reads: private servers, the machine's counters, figures and their report."""
