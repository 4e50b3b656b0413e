"""A good client: what it does, keeps and sends again, and the deployment that it meets."""
