"""Versions: the revisions, in the order in which they came."""
