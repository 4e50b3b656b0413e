"""
The durable append: one call to Redis a request, and what it needs around it: open epochs, sessions read
through from PostgreSQL, first replies for retries, the load that refuses in time.
"""
