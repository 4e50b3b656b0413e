"""Real records sent through the HTTP API: how they become events, and what came of them."""
