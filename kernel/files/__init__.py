"""Foreign rows in files: what their columns are, how they are read, what is wrong with each."""
