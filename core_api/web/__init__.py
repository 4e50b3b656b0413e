"""What stands around the routes: the public document and its page, retries under a key."""
