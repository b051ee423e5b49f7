"""Events table in, signals table out: from a log of any size to what models read."""
