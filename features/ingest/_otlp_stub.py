def observations(*a, **k): return iter(())
