"""Proctor sessions: taken up, ended, cancelled, and their events as staff read them."""
