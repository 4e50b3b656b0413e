"""Exams and attempts in numbers, for staff."""
