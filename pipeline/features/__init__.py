"""What is computed from events: pure functions, one noun a module, each with its definition in plain Python
beside it.
"""
