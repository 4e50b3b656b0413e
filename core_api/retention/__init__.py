"""How long an organisation keeps what, what is held all the same, and what would go now, for its admins."""
