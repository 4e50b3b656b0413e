"""
Programmes: what somebody completes by exams; who is enrolled, and how far they are.

What a requirement is, and when it is met, says `kernel/programmes.py`.
"""
