"""From labelled tasks to a certified `ModelBundle`."""
