"""The six components of the pattern, as pure functions over values."""
