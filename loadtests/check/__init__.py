"""What a run came to: the clients' histories against the database, events counted wherever they must be."""
