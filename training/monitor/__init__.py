"""What a model does once it is live: misses, calibration, drift, gaming.

Pure: every module is fed with `outcome.TaskOutcome` or arrays, by the command line or
by the service, and gives values back. Nothing here reads a store or a clock.
"""
