"""
Admission: what a request may say, checked whole before anything is written, and kept by column.

Nothing here waits, and all but `reading` (which decodes) is pure.
"""
