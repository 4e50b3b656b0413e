"""Private servers on this machine: PostgreSQL and Redis with folders, ports and passwords of their own."""
