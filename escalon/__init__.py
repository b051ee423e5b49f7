"""The command line: composes features, training and serving."""
