"""
Requests that nobody thought of: schemathesis makes them from the public document, of every operation and with
a token of each role, on a world with a thing of every kind in it.
"""
