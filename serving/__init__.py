"""Decide, hand over, and account for it."""
