"""
The composition root: the command line, the local stack, images. Imports anything; nobody imports it.
"""
