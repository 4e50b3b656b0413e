"""Evidence: files that candidates and observers send, whoever looks at them, and the chain of custody."""
