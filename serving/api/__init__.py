"""The HTTP surface, version 1."""
