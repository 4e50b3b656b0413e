"""
HTTP as every process speaks it: routes as data, bounded bodies, replies and problems, health, addresses, and
the public document of a list of routes.
"""
