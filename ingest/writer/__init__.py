"""
The writer: what was acknowledged, from the stream into PostgreSQL, exactly once and in order.

One owner a shard reads what follows the stored offset and commits rows and offset together; rows that
PostgreSQL refuses are found and set aside; what is missing after a restart of Redis is named. Meets the tiers
in the stream only.
"""
