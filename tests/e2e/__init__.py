"""The whole stack from outside: pages in a real browser."""
