"""The example of docs/example.md: its commands, run as they stand there, and the plots that it shows."""
